;; So many steps that their size is small again.
;; kind: target
;; expect: plugin-trapped
(data (i32.const 16) "\00\00\00\00\00\01\00\00\cd\cc\cc\0c")
(func $run (export "run") (param i32) (result i32)
    (i32.const 16))
