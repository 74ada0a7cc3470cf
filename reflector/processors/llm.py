"""Questions to a language model behind an OpenAI-compatible API (POST /chat/completions)."""

from __future__ import annotations

from pydantic import BaseModel, Field, TypeAdapter

from reflector.processors.errors import ServiceRejected
from reflector.processors.http import bearer, parse, request
from reflector.settings import settings


class _Message(BaseModel):
    content: str


class _Choice(BaseModel):
    message: _Message


class _Completion(BaseModel):
    choices: list[_Choice] = Field(min_length=1)


_COMPLETION = TypeAdapter(_Completion)


async def ask(task: str, instructions: str, content: str, *, as_json: bool = False) -> str:
    """The model's answer to one question.

    Parameters: `task` names the kind of question and is the first line of the system message, `instructions`
    the rest of it, `content` the text that the question is about, `as_json` demands a JSON object.
    Temperature 0, so that the same text gives the same answer. Raises `ServiceUnavailable`, or
    `ServiceRejected` also for an empty answer.
    """
    url = f"{settings.LLM_URL}/chat/completions"
    body: dict[str, object] = {
        "model": settings.LLM_MODEL,
        "messages": [
            {"role": "system", "content": f"TASK: {task}\n{instructions}"},
            {"role": "user", "content": content},
        ],
        "temperature": 0,
    }
    if as_json:
        body["response_format"] = {"type": "json_object"}
    response = await request("llm", "POST", url, json=body, headers=bearer(settings.LLM_API_KEY))
    answer = parse("llm", response, _COMPLETION).choices[0].message.content.strip()
    if not answer:
        raise ServiceRejected("llm", url, f"empty answer to the task {task!r}", response.status_code)
    return answer
