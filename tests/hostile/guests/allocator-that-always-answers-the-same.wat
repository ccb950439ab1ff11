;; All of the request is written over itself; then the guest reads what is left of it.
;; kind: target
;; expect: plugin-trapped
(component
    {types}
    (core module $main
        (memory (export "memory") 8)
        (func (export "realloc") (param i32 i32 i32 i32) (result i32) (i32.const 65536))
        (func (export "run") (param i32) (result i32) (i32.load (i32.load offset=16 (local.get 0)))))
    (core instance $main (instantiate $main))
    {lift $main})
