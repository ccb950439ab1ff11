;; Each is within the limit, all together are not.
;; kind: target
;; expect: plugin-memory
(component
    {types}
    (core module $share (memory 300))
    (core instance (instantiate $share))
    (core instance (instantiate $share))
    (core instance (instantiate $share))
    (core instance (instantiate $share))
    (core module $main
        (memory (export "memory") 2)
        (func (export "realloc") (param i32 i32 i32 i32) (result i32) (i32.const 65536))
        (func (export "run") (param i32) (result i32) (i32.const 16)))
    (core instance $main (instantiate $main))
    {lift $main})
