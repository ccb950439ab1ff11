;; An endless loop while the host hands the request over: a component of its own,
;; whose allocator never answers.
;; kind: target
;; expect: plugin-fuel
(component
    {types}
    (core module $main
        (memory (export "memory") 2)
        (func (export "realloc") (param i32 i32 i32 i32) (result i32) (loop $again (br $again)) unreachable)
        (func (export "run") (param i32) (result i32) (i32.const 16)))
    (core instance $main (instantiate $main))
    {lift $main})
