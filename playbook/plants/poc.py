"""Faults in the proof of concept."""

from playbook.plants.plant import Edit, Plant

PHASE = "01_poc"

POC = (
    Plant(
        "arguments-read-by-the-wrong-signature",
        PHASE,
        "positional arguments are parsed against the parameters of the decorated function",
        (
            Edit(
                "reflector/worker/tasks.py",
                "original_func = on_the_wire(original_func, *",
                "_ = (original_func, *",
            ),
        ),
        "whole",
        ("arguments",),
    ),
    Plant(
        "result-changed",
        PHASE,
        "a task returns something else than before",
        (Edit("reflector/worker/health.py", 'return {"status": "healthy"', 'return {"status": "unwell"'),),
        "whole",
        ("round_trip",),
    ),
    Plant(
        "first-twin-renamed",
        PHASE,
        "the first twin has another name than its task",
        (
            Edit(
                "reflector/pipelines/main_file_pipeline.py",
                '"reflector.pipelines.main_file_pipeline.task_pipeline_file_process"',
                '"reflector.pipelines.task_pipeline_file_process"',
            ),
        ),
        "whole",
        ("twin", "same_effects"),
    ),
)
