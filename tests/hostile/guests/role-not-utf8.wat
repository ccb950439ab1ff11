;; A role whose name ends in half a character.
;; kind: target
;; expect: plugin-trapped
(data (i32.const 16) "\00\00\00\00\00\01\00\00\01\00\00\00")
(data (i32.const 256) "\00\00\00\00\00\02\00\00\0a\00\00\00\00\00\00\00\00\00\00\00")
(data (i32.const 512) "readonly\f0\9f")
(func $run (export "run") (param i32) (result i32)
    (i32.const 16))
