;; kind: target
;; expect: plugin-trapped
(func $start unreachable)
(start $start)
(func $run (export "run") (param i32) (result i32)
    (i32.const 16))
