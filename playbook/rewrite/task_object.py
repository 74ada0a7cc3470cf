"""Whether the runtime offers everything that a piece of code does with a task object."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import libcst as cst
import libcst.matchers as m

from playbook.rewrite.supported import CURRENT_TASK, REQUEST, RETRY

Parent = Callable[[cst.CSTNode], cst.CSTNode]


def reason_in_uses(name: str, uses: Iterable[cst.CSTNode], parent: Parent) -> str | None:
    """Return why the uses of a task object cannot stay as they are, None if they can.

    Args:
        name: what the code calls the object.
        uses: the nodes that name it.
        parent: gives the node that a node stands in.
    """
    for use in uses:
        around = parent(use)
        if isinstance(around, cst.Attribute) and around.value is use:
            reason = _reason_in_attribute(name, around, parent)
        else:
            reason = None if _is_tested(use, around) else f"{name} itself is handed on or compared"
        if reason is not None:
            return reason
    return None


def _is_tested(use: cst.CSTNode, around: cst.CSTNode) -> bool:
    """Whether code only asks if there is a task: `if current_task`, `not current_task`, ... ."""
    if isinstance(around, cst.If | cst.IfExp | cst.While | cst.Assert):
        return around.test is use
    return m.matches(around, m.UnaryOperation(operator=m.Not()))


def _reason_in_attribute(name: str, attribute: cst.Attribute, parent: Parent) -> str | None:
    attr = attribute.attr.value
    if attr not in CURRENT_TASK:
        return f"{name}.{attr} has no counterpart"
    around = parent(attribute)
    if attr == "request":
        return _reason_in_request(f"{name}.request", attribute, around)
    if attr == "retry" and isinstance(around, cst.Call):
        keywords = {argument.keyword.value for argument in around.args if argument.keyword}
        if unknown := sorted(keywords - RETRY):
            return f"{name}.retry() has the argument {', '.join(unknown)}, which has no counterpart"
    return None


def _reason_in_request(name: str, request: cst.Attribute, around: cst.CSTNode) -> str | None:
    if isinstance(around, cst.Attribute) and around.value is request:
        attr = around.attr.value
        return None if attr in REQUEST else f"{name}.{attr} has no counterpart"
    if m.matches(around, m.Assign(targets=[m.AssignTarget(target=m.Name())])):
        return None
    return f"{name} itself is handed on"


def request_variables(code: cst.CSTNode, name: str) -> set[str]:
    """Return the variables that code assigns `name.request` to."""
    request = m.Attribute(value=m.Name(name), attr=m.Name("request"))
    found = m.findall(code, m.Assign(targets=[m.AssignTarget(target=m.Name())], value=request))
    targets = [cst.ensure_type(assign, cst.Assign).targets[0].target for assign in found]
    return {cst.ensure_type(target, cst.Name).value for target in targets}


def reason_in_request_variables(code: cst.CSTNode, name: str) -> str | None:
    """Return why what code does with a variable that holds `name.request` cannot stay, None if it can."""
    for variable in sorted(request_variables(code, name)):
        for node in m.findall(code, m.Attribute(value=m.Name(variable))):
            attr = cst.ensure_type(node, cst.Attribute).attr.value
            if attr not in REQUEST:
                return f"{variable}.{attr} has no counterpart in {name}.request"
    return None
