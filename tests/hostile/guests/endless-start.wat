;; An endless loop before anybody has asked.
;; kind: target
;; expect: plugin-fuel
(func $endless (loop $again (br $again)))
(start $endless)
(func $run (export "run") (param i32) (result i32)
    (i32.const 16))
