;; The answer isn't there.
;; kind: resolver
;; expect: plugin-trapped

(func $run (export "run") (param i32) (result i32)
    (i32.const 131072))
