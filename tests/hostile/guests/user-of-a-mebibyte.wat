;; As large as an answer may be, of zeros; a name may not.
;; kind: resolver
;; expect: invalid-plan
;; pages: 40
(data (i32.const 16) "\00\00\00\00\00\00\02\00\00\00\10\00")
(func $run (export "run") (param i32) (result i32)
    (i32.const 16))
