;; kind: resolver
;; expect: plugin-fuel
;; says: used up its fuel
(func $run (export "run") (param i32) (result i32)
    (loop $again (br $again)) unreachable)
