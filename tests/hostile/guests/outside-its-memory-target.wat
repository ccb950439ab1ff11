;; kind: target
;; expect: plugin-trapped
;; says: outside its memory
(func $run (export "run") (param i32) (result i32)
    (i32.load (i32.const -4)))
