;; A quotation mark behind half a character, which some readers take for one.
;; kind: target
;; expect: plugin-trapped
(data (i32.const 16) "\00\00\00\00\00\01\00\00\01\00\00\00")
(data (i32.const 256) "\01\00\00\00\00\02\00\00\06\00\00\00\08\00\00\00\00\00\00\00")
(data (i32.const 512) "GRANT\bf\27")
(func $run (export "run") (param i32) (result i32)
    (i32.const 16))
