;; Something of another kind under the right name.
;; kind: target
;; expect: invalid-plugin
;; says: exports `sym:postgres/target-setup@0.1.0`, expected
(component
    (component $other)
    (export "sym:postgres/target-setup@0.1.0" (component $other)))
