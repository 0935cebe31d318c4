"""The operator's SSH agent, lent for one call that prepares a VM."""

from msgspec import Struct
from starlette.responses import Response

from roadstead.inventory import names
from roadstead.serve import answers
from roadstead.serve.agents import AgentStream
from roadstead.serve.bodies import AgentAnswer, AgentKeys
from roadstead.serve.calls import Call
from roadstead.serve.handlers.parameters import VmName


class AgentAnswered(Struct, frozen=True, kw_only=True):
    """That an answer of an agent arrived."""

    request: str


def lend_agent(call: Call, vm: VmName, body: AgentKeys) -> Response:
    """Lend an SSH agent for the sign-in to the guest of a VM, for as long as this answer is read: JSON objects, one on
    a line. The first names the `agent`, which the same caller's `prepare` of this VM may use; every further one is a
    request to sign, to be answered within 30 s; an empty line is the heartbeat.

    A signature is asked for in the handshake of the sign-in to this VM alone, after its host key was confirmed, and
    once for each of the first five keys whose type is taken.
    """
    agents = call.commands.agents
    lent = agents.lend(names.find_vm(call.store, vm).id, body.keys)
    return AgentStream(agents, lent, call.services.readers)


def answer_agent(call: Call, vm: VmName, body: AgentAnswer) -> Response:
    """Answer a request to sign, with the agent's signature or the reason why there is none."""
    lent = call.commands.agents.used(names.find_vm(call.store, vm).id, body.agent)
    lent.answer(body.request, body.signed(), body.refusal)
    return answers.record(AgentAnswered(request=body.request))
