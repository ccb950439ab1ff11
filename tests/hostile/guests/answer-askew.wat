;; The answer is where none can be.
;; kind: target
;; expect: plugin-trapped

(func $run (export "run") (param i32) (result i32)
    (i32.const 18))
