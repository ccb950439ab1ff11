;; Something of another kind under the right name.
;; kind: target
;; expect: invalid-plugin
;; says: is no valid component
(component
    (component $other)
    (export "sym:postgres/target-setup@0.1.0" (component $other)))
