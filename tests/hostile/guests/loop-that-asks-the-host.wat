;; kind: resolver
;; expect: plugin-time
;; pages: 40
;; Fuel is for the guest's own work, of which there is next to none here.
(func $run (export "run") (param i32) (result i32)
    (loop $again
        (call $get (i32.const 131072) (i32.const 1000000) (i32.const 32))
        (br $again))
    (unreachable))
