;; It needs a part of WebAssembly that this host leaves out.
;; kind: target
;; expect: invalid-plugin
;; says: is no valid component
(component
    {types}
    (core module $odd (memory $large i64 1))
    (core instance (instantiate $odd))
    (core module $main
        (memory (export "memory") 2)
        (func (export "realloc") (param i32 i32 i32 i32) (result i32) (i32.const 65536))
        (func (export "run") (param i32) (result i32) (i32.const 16)))
    (core instance $main (instantiate $main))
    {lift $main})
