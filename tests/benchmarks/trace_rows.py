"""A row of every format of outputs, and what each of them says: text, verdict, end and tokens of every response."""

from __future__ import annotations

from typing import Any

STATEMENT, GOLD = "What is seven times eight, plus one?", "57"
"""A problem that no benchmark has."""
CHAT = [{"role": "user", "content": STATEMENT}, {"role": "assistant", "content": "57"}]
ROWS: dict[str, tuple[str, dict[str, Any]]] = {
    "qwen-math": (
        "qwen-math",
        {
            "idx": 0,
            "question": STATEMENT,
            "gt_cot": "",
            "gt": GOLD,
            "answer": "7*8+1 #### 57",
            "code": ["57", "56"],
            "pred": ["57", "56"],
            "report": [None, None],
            "score": [True],
        },
    ),
    "nemo": (
        "nemo-skills",
        {
            "problem": STATEMENT,
            "expected_answer": 57,
            "generation": "57",
            "symbolic_correct": True,
            "num_generated_tokens": 9,
            "finish_reason": "length",
        },
    ),
    "nemo judged": (
        "nemo-skills",
        {"problem": STATEMENT, "expected_answer": "57", "generation": "57", "judgement": "Reasoning: same.\nJudgement: Yes"},
    ),
    "nemo parsed": (
        "nemo-skills",
        {"problem": STATEMENT, "expected_answer": "57", "generation": "57", "_full_generation": "<think>hm</think>57"},
    ),
    "lighteval": (
        "lighteval",
        {
            "doc": {"query": STATEMENT, "choices": ["56", "57"], "gold_index": 1},
            "model_response": {"text": ["57"], "output_tokens": [[1, 2, 3]]},
            "metric": {"em": 1},
        },
    ),
    "lighteval before 0.11": (
        "lighteval",
        {
            "example": STATEMENT,
            "full_prompt": f"Q: {STATEMENT}",
            "predictions": ["57"],
            "gold": ["57"],
            "metrics": {"em": 1.0},
            "cont_tokens": [[4, 5, 6, 7]],
        },
    ),
    "lighteval as text": (
        "lighteval",
        {"example": STATEMENT, "full_prompt": STATEMENT, "predictions": "['57', '56']", "gold": "['57']", "metrics": {"em": 1.0}},
    ),
    "lm-eval": (
        "lm-eval",
        {
            "doc_id": 0,
            "doc": {"problem": STATEMENT, "answer": "57"},
            "target": "57",
            "arguments": [["x", {}]],
            "resps": [["57"]],
            "exact_match": 1,
        },
    ),
    "inspect": (
        "inspect",
        {
            "id": 1,
            "epoch": 1,
            "input": STATEMENT,
            "target": "57",
            "output": {
                "choices": [
                    {
                        "message": {
                            "role": "assistant",
                            "content": [{"type": "reasoning", "reasoning": "hm"}, {"type": "text", "text": "57"}],
                        },
                        "stop_reason": "max_tokens",
                    }
                ],
                "usage": {"output_tokens": 12},
            },
            "scores": {"match": {"value": "C"}},
        },
    ),
    "inspect chat": (
        "inspect",
        {
            "id": 1,
            "epoch": 1,
            "input": CHAT[:1],
            "target": ["57"],
            "output": {"choices": [{"message": CHAT[1], "stop_reason": "stop"}]},
            "scores": {"a": {"value": "I"}, "b": {"value": 0.5}},
        },
    ),
    "evalscope prediction": (
        "evalscope",
        {
            "index": 3,
            "model": "m",
            "model_output": {"choices": [{"message": CHAT[1], "stop_reason": "stop"}], "usage": {"output_tokens": 4}},
            "messages": CHAT,
            "metadata": {"answer": "57"},
        },
    ),
    "evalscope review": (
        "evalscope",
        {
            "index": 3,
            "target": "57",
            "messages": CHAT,
            "sample_score": {"score": {"value": {"acc": 1.0}, "prediction": "57"}, "sample_id": 3},
        },
    ),
    "evalscope before 1.0": (
        "evalscope",
        {
            "index": "a",
            "choices": [{"message": CHAT[1], "review": {"gold": "57", "pred": "57", "result": 1}}],
            "raw_input": {"question": STATEMENT},
        },
    ),
    "generic": (
        "generic",
        {"problem": STATEMENT, "answer": 57, "response": "57", "correct": True, "finish_reason": "stop", "tokens": "11", "sample": 5},
    ),
    "generic list": (
        "generic",
        {"question": STATEMENT, "answer": "57", "responses": ["57", None, "56"], "correct": [1, None], "tokens": [3, 4, 5]},
    ),
    "generic objects": (
        "generic",
        {"question": STATEMENT, "answer": "57", "response": [{"text": "57", "correct": True, "finish_reason": "length", "tokens": 7}]},
    ),
    "generic id": ("generic", {"id": "my-7", "answer": "57", "response": "57"}),
    "verl": ("generic", {"input": f"user\n{STATEMENT}\nassistant\n", "output": "57", "gts": "57", "score": 1.0, "step": 40}),
    "openai batch": (
        "generic",
        {
            "custom_id": "7",
            "problem": STATEMENT,
            "answer": "57",
            "response": {"status_code": 200, "body": {"choices": [{"message": CHAT[1]}]}},
        },
    ),
    "chat with an output": ("generic", {"messages": [CHAT[0], {"role": "assistant", "content": ""}], "answer": "57", "model_output": "57"}),
    "qwq": ("generic", {"prompt": STATEMENT, "answer": "57", "gen": ["57"]}),
    "limo": (
        "generic",
        {"question": STATEMENT, "generated_responses": ["57", "56"], "gold_answer": "57", "answers_correctness": [True, False]},
    ),
    "matharena": (
        "generic",
        {"idx": 1, "problem": STATEMENT, "gold_answer": "57", "messages": [CHAT, CHAT], "correct": [True, True], "answers": ["57", "57"]},
    ),
    "opencompass": ("generic", {"origin_prompt": [{"role": "HUMAN", "prompt": STATEMENT}], "prediction": "57", "gold": "57"}),
    "trl": ("generic", {"prompt": CHAT[:1], "completion": CHAT[1:], "solution": "so it is $\\boxed{57}$", "reward": 1.0}),
    "released, of other problems": ("klear", {"id": 0, "meta": {"meta": {"solution": "57"}}, "messages": CHAT}),
}
SAID: dict[str, list[tuple[str, bool | None, str | None, int]]] = {
    "qwen-math": [("57", True, None, 0), ("56", None, None, 0)],
    "nemo": [("57", True, "length", 9)],
    "nemo judged": [("57", True, None, 0)],
    "nemo parsed": [("<think>hm</think>57", None, None, 0)],
    "lighteval": [("57", True, None, 3)],
    "lighteval before 0.11": [("57", True, None, 4)],
    "lighteval as text": [("57", None, None, 0), ("56", None, None, 0)],
    "lm-eval": [("57", True, None, 0)],
    "inspect": [("<think>\nhm\n</think>\n\n57", True, "length", 12)],
    "inspect chat": [("57", False, "stop", 0)],
    "evalscope prediction": [("57", None, "stop", 4)],
    "evalscope review": [("57", True, None, 0)],
    "evalscope before 1.0": [("57", True, None, 0)],
    "generic": [("57", True, "stop", 11)],
    "generic list": [("57", True, None, 3), ("", None, None, 4), ("56", None, None, 5)],
    "generic objects": [("57", True, "length", 7)],
    "generic id": [("57", None, None, 0)],
    "verl": [("57", True, None, 0)],
    "openai batch": [("57", None, None, 0)],
    "chat with an output": [("57", None, None, 0)],
    "qwq": [("57", None, None, 0)],
    "limo": [("57", True, None, 0), ("56", False, None, 0)],
    "matharena": [("57", True, None, 0), ("57", True, None, 0)],
    "opencompass": [("57", None, None, 0)],
    "trl": [("57", True, None, 0)],
    "released, of other problems": [("57", None, None, 0)],
}
