"""A hint for two types of GPUs: short prompts to the L20s, long ones to the V100, and what is between to both."""

from traffic.hint import Hint


def a_hint(created_s: float = 1_700_000_000.5, version: int = 7) -> Hint:
    return Hint(
        version=version,
        created_s=created_s,
        outputs=(32.0, 128.0),
        inputs=(256.0, 1024.0, 4096.0),
        replicas={"l20": 3, "v100": 1},
        share=(({"l20": 1.0}, {"l20": 0.7, "v100": 0.3}, {"v100": 1.0}), ({"l20": 1.0}, {"v100": 1.0}, {})),
        in_share=({"l20": 1.0}, {"l20": 0.55, "v100": 0.45}, {"v100": 1.0}),
        throughput={
            "l20": ((10.0, 2.0, 0.0), (5.0, 1.0, 0.0)),
            "v100": ((12.0, 8.0, 4.0), (6.0, 4.0, 0.0)),
        },
        unserved=((1, 2, 1.0),),
        slo={"ttft": 2.0},
        cost=4.5,
    )
