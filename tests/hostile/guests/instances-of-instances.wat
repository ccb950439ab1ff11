;; A hundred thousand core instances in a few lines: each component has ten of the next.
;; kind: target
;; expect: invalid-plugin
;; says: has more than 150000 entries
(component $c
    {types}
    (core module $module (global i32 (i32.const 1)) (global i32 (i32.const 2)))
    (component $c5
        (component $c4
            (component $c3
                (component $c2
                    (alias outer $c $module (core module $own))
                    (core instance (instantiate $own)) (core instance (instantiate $own))
                    (core instance (instantiate $own)) (core instance (instantiate $own))
                    (core instance (instantiate $own)) (core instance (instantiate $own))
                    (core instance (instantiate $own)) (core instance (instantiate $own))
                    (core instance (instantiate $own)) (core instance (instantiate $own)))
                (instance (instantiate $c2)) (instance (instantiate $c2)) (instance (instantiate $c2))
                (instance (instantiate $c2)) (instance (instantiate $c2)) (instance (instantiate $c2))
                (instance (instantiate $c2)) (instance (instantiate $c2)) (instance (instantiate $c2))
                (instance (instantiate $c2)))
            (instance (instantiate $c3)) (instance (instantiate $c3)) (instance (instantiate $c3))
            (instance (instantiate $c3)) (instance (instantiate $c3)) (instance (instantiate $c3))
            (instance (instantiate $c3)) (instance (instantiate $c3)) (instance (instantiate $c3))
            (instance (instantiate $c3)))
        (instance (instantiate $c4)) (instance (instantiate $c4)) (instance (instantiate $c4))
        (instance (instantiate $c4)) (instance (instantiate $c4)) (instance (instantiate $c4))
        (instance (instantiate $c4)) (instance (instantiate $c4)) (instance (instantiate $c4))
        (instance (instantiate $c4)))
    (instance (instantiate $c5)) (instance (instantiate $c5)) (instance (instantiate $c5))
    (instance (instantiate $c5)) (instance (instantiate $c5)) (instance (instantiate $c5))
    (instance (instantiate $c5)) (instance (instantiate $c5)) (instance (instantiate $c5))
    (instance (instantiate $c5)))
