;; A resolver where a target belongs.
;; kind: target
;; expect: invalid-plugin
;; says: expected `sym:postgres/target-setup@0.1`
(component
    {types}
    (core module $main
        (memory (export "memory") 2)
        (func (export "realloc") (param i32 i32 i32 i32) (result i32) (i32.const 65536))
        (func (export "run") (param i32) (result i32) (i32.const 16)))
    (core instance $main (instantiate $main))
    (func $run (param "request" $request) (result (result string (error $failure)))
        (canon lift (core func $main "run") (memory (core memory $main "memory")) (realloc (core func $main "realloc"))))
    (instance $export (export "resolve-user" (func $run)))
    (export "sym:postgres/resolver@0.1.0" (instance $export)))
