;; A granted interface with a function that isn't so.
;; kind: target
;; expect: invalid-plugin
;; says: in another form
;; wasi: true
(component
    {types}
    (import "wasi:random/random@0.2.6" (instance (export "get-random-u64" (func (result string)))))
    (core module $main
        (memory (export "memory") 2)
        (func (export "realloc") (param i32 i32 i32 i32) (result i32) (i32.const 65536))
        (func (export "run") (param i32) (result i32) (i32.const 16)))
    (core instance $main (instantiate $main))
    {lift $main})
