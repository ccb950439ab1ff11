;; kind: target
;; expect: plugin-fuel
(func $run (export "run") (param i32) (result i32)
    (loop $again (br $again)) unreachable)
