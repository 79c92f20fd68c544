"""``grounding`` on several processes of a CPU, with weights spread over them as over GPUs.

accelerate has FSDP and DeepSpeed on accelerators alone. Told that the CPU is one, it does here by gloo what
it does there by NCCL; the environment says the rest, as ``accelerate launch`` would set it.
"""

import sys

from accelerate import PartialState
from accelerate.utils import DistributedType

from grounding_core.cli import main
from grounding_core.training import loop

kind = DistributedType.DEEPSPEED if sys.argv.pop(1) == "deepspeed" else DistributedType.MULTI_XPU
PartialState(cpu=True)
PartialState._shared_state |= {"distributed_type": kind, "_cpu": False}
loop.on_cpu = lambda: False
main()
