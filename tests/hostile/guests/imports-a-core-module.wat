;; Code from the host, by another door.
;; kind: target
;; expect: invalid-plugin
;; says: imports `library`
(component
    {types}
    (import "library" (core module))
    (core module $main
        (memory (export "memory") 2)
        (func (export "realloc") (param i32 i32 i32 i32) (result i32) (i32.const 65536))
        (func (export "run") (param i32) (result i32) (i32.const 16)))
    (core instance $main (instantiate $main))
    {lift $main})
