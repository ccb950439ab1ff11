;; It wants more than a plugin may have.
;; kind: target
;; expect: invalid-plugin
;; says: imports `sym:postgres/log@0.2.0`
(component
    {types}
    (import "sym:postgres/log@0.2.0" (instance))
    (core module $main
        (memory (export "memory") 2)
        (func (export "realloc") (param i32 i32 i32 i32) (result i32) (i32.const 65536))
        (func (export "run") (param i32) (result i32) (i32.const 16)))
    (core instance $main (instantiate $main))
    {lift $main})
