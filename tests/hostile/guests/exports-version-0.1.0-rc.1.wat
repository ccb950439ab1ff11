;; The world of another version.
;; kind: target
;; expect: invalid-plugin
;; says: exports `sym:postgres/target-setup@0.1.0-rc.1
(component
    {types}
    (core module $main
        (memory (export "memory") 2)
        (func (export "realloc") (param i32 i32 i32 i32) (result i32) (i32.const 65536))
        (func (export "run") (param i32) (result i32) (i32.const 16)))
    (core instance $main (instantiate $main))
    (func $run (param "request" $request) (param "username" string) (result (result $steps (error $failure)))
        (canon lift (core func $main "run") (memory (core memory $main "memory")) (realloc (core func $main "realloc"))))
    (instance $export (export "setup" (func $run)))
    (export "sym:postgres/target-setup@0.1.0-rc.1" (instance $export)))
