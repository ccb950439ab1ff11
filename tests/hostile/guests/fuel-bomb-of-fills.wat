;; Few instructions that take long: each fills 60 MiB.
;; kind: target
;; expect: plugin-fuel
;; pages: 1000
(func $run (export "run") (param i32) (result i32)
    (loop $again
        (memory.fill (i32.const 0) (i32.const 1) (i32.const 62914560))
        (br $again))
    unreachable)
