;; Then it answers honestly.
;; kind: resolver
;; expect: plugin-trapped
;; says: malformed
;; pages: 40
(data (i32.const 16) "\00\00\00\00\00\01\00\00\08\00\00\00")
(data (i32.const 256) "sym_user")
(func $run (export "run") (param i32) (result i32)
    (local $left i32)
    (local.set $left (i32.const 1))
    (loop $again
        (call $log (i32.const 3) (i32.const 131072) (i32.const 2147483647))
        (br_if $again (local.tee $left (i32.sub (local.get $left) (i32.const 1)))))
    (i32.const 16))
