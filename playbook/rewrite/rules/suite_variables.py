"""The environment variables of the tests have the names that the settings have now."""

from __future__ import annotations

from dataclasses import dataclass

import libcst as cst
import libcst.matchers as m

from playbook.rewrite.rule import Outcome, parse

OLD, NEW, GONE = "CELERY_BROKER_URL", "TASKIQ_REDIS_URL", "CELERY_RESULT_BACKEND"


@dataclass(frozen=True)
class SuiteVariables:
    """`CELERY_BROKER_URL` becomes `TASKIQ_REDIS_URL`, as a keyword, a key and a setting.

    `CELERY_RESULT_BACKEND` goes where it is given beside it: results are in the same Redis.
    """

    def apply(self, source: str) -> Outcome:
        """Rewrite one test file."""
        return Outcome(cst.ensure_type(parse(source).module.visit(_Rename()), cst.Module).code)


class _Rename(cst.CSTTransformer):
    def leave_Call(self, original_node: cst.Call, updated_node: cst.Call) -> cst.Call:
        names = {argument.keyword.value for argument in original_node.args if argument.keyword}
        if OLD not in names:
            return updated_node
        kept = [one for one in updated_node.args if not (one.keyword and one.keyword.value == GONE)]
        kept = [
            one.with_changes(keyword=cst.Name(NEW)) if one.keyword and one.keyword.value == OLD else one
            for one in kept
        ]
        kept[-1] = kept[-1].with_changes(comma=updated_node.args[-1].comma)
        return updated_node.with_changes(args=kept)

    def leave_Dict(self, original_node: cst.Dict, updated_node: cst.Dict) -> cst.Dict:
        keys = [_key(element) for element in original_node.elements]
        if OLD not in keys or GONE not in keys:
            return updated_node
        kept = [one for one, key in zip(updated_node.elements, keys, strict=True) if key != GONE]
        kept[-1] = kept[-1].with_changes(comma=updated_node.elements[-1].comma)
        return updated_node.with_changes(elements=kept)

    def leave_SimpleString(
        self, original_node: cst.SimpleString, updated_node: cst.SimpleString
    ) -> cst.SimpleString:
        if updated_node.evaluated_value != OLD:
            return updated_node
        return updated_node.with_changes(value=updated_node.value.replace(OLD, NEW))

    def leave_Attribute(self, original_node: cst.Attribute, updated_node: cst.Attribute) -> cst.Attribute:
        if not m.matches(updated_node, m.Attribute(m.Name("settings"), m.Name(OLD))):
            return updated_node
        return updated_node.with_changes(attr=cst.Name(NEW))


def _key(element: cst.BaseDictElement) -> object:
    if isinstance(element, cst.DictElement) and isinstance(element.key, cst.SimpleString):
        return element.key.evaluated_value
    return None
