r"""Right spellings of an answer beside near ones that are wrong, kind by kind; and what stands around a box in real solutions."""

from __future__ import annotations

import pytest

from benchmarks.strict.judge import judge_strict

PAIRS: list[tuple[str, list[str], list[str]]] = [
    (  # a family in a symbol that runs over whole numbers
        r"\frac{\pi}{3}+2k\pi, k\in\mathbb{Z}",
        [
            r"\frac{\pi}{3}+2n\pi, n\in\mathbb{Z}", r"\frac{\pi}{3}+2k\pi \text{ for } k\in\mathbb{Z}",
            r"\frac{\pi}{3}+2k\pi\ (k\in\mathbf{Z})",
            r"\left\{\frac{\pi}{3}+2k\pi : k\in\mathbb{Z}\right\}", r"x=\frac{\pi}{3}+2m\pi,\ m \text{ is an integer}",
            r"\{x \mid x = \frac{\pi}{3}+2k\pi,\ k \in \mathbb{Z}\}", r"\frac{\pi}{3}+2k\pi\text{ (where k is an integer)}",
        ],
        [
            r"\frac{\pi}{3}+2k\pi, k\in\mathbb{R}", r"\frac{\pi}{3}+k\pi, k\in\mathbb{Z}", r"\frac{\pi}{3}+2n\pi, k\in\mathbb{Z}",
            r"\left\{\frac{\pi}{6}+2k\pi : k\in\mathbb{Z}\right\}",
        ],
    ),
    ("a_n = 3^n - 2", [r"a_n = 3^n-2\ (n\ge 1)", r"a_n=3^n-2 \text{ for all positive integers } n"], [r"a_n = 3^n-1\ (n\ge 1)"]),
    ("107", [r"\text{one hundred and seven}", "一百零七", "一百零七个"],
        [r"\text{one hundred and eight}", r"\text{one hundred seventy}", "一百零八个"]),
    (r"\frac{9}{2}", [r"\text{four and a half}", r"\text{four point five}"], [r"\text{four and a third}", r"\text{half of four}"]),
    ("-7", [r"\text{negative seven}", r"\text{minus seven}"], [r"\text{seven}", r"\text{negative eight}"]),
    (r"\infty", [r"\text{infinity}"], [r"\text{negative infinity}", r"-\infty"]),
    ("5:3", [r"5\text{ to }3", "10:6", r"a:b = 5:3", r"\frac{5}{3}"], ["3:5", r"3\text{ to }5", "5:4"]),
    ("2:3:5", ["4:6:10", r"a:b:c = 2:3:5", r"2\colon3\colon5"], ["2:5:3", "2:3", "2:3:6"]),
    (r"45 \text{ mph}",
        [r"45\text{ miles per hour}", r"45\,\frac{\text{miles}}{\text{hour}}", "45"],
        [r"45\text{ km/h}", r"46\text{ mph}"]),
    (r"12\%", [r"12\text{ per cent}", "0.12"], [r"12\text{ percent of }50", r"12\text{ per mille}"]),
    ("8", [r"8\text{ times}", r"8\ \Omega", r"8\text{ J/(kg K)}"], [r"8\text{th power}", r"8\text{ percent of a degree}", r"8\text{万元}"]),
    (r"\mathbb{R}\setminus\{1,4\}",
        [r"(-\infty,1)\cup(1,4)\cup(4,\infty)", r"\text{all real numbers except }1\text{ and }4"],
        [r"\mathbb{R}\setminus(1,4)"]),
    (r"(-\infty,1)\cup(4,\infty)",
        [r"\mathbb{R}\setminus[1,4]", r"x\in(-\infty,1)\text{ or }x\in(4,\infty)"],
        [r"\mathbb{R}\setminus(1,4)", r"[1,4]"]),
    (r"(2,9)", [r"(2,6]\cup[4,9)", r"(2,7)\cup(3,9)"], [r"(2,6)\cup(6,9)", r"(2,6]\cup[4,9]"]),
    (r"n \ge 6", [r"\text{all } n \ge 6", r"\text{all integers } n\geq 6"], [r"\text{all } n \ge 5", r"\text{no } n\ge 6"]),
    (r"(4,-1)",
        [r"\text{point }(4,-1)", r"\{(4,-1)\}", r"x=4 \quad y=-1", r"y=-1, x=4", "P'(4,-1)"],
        [r"x=4\text{ or }y=-1", r"y=4, x=-1"]),
    ("(6,6,6)", ["x=y=z=6"], ["x=y=z=5", "x=y=z=6,7"]),
    ("(1,5), (2,7)", [r"y=5,x=1\text{ or }y=7,x=2"], [r"(y,x)=(1,5),(2,7)", r"y=1,x=5\text{ or }y=2,x=7"]),
    (
        r"\begin{pmatrix}3\\-4\end{pmatrix}",
        [r"(3,-4)^T", r"\binom{3}{-4}", r"3\mathbf{i}-4\mathbf{j}", r"\langle 3,-4\rangle"],
        [r"4\mathbf{i}-3\mathbf{j}", r"\binom{-4}{3}", r"\left|\begin{pmatrix}3\\-4\end{pmatrix}\right|"],
    ),
    (r"\begin{pmatrix}1&0\\2&5\end{pmatrix}", ["[[1,0],[2,5]]"], ["[[1,2],[0,5]]"]),
    ("f(x)=x^2+1", [r"f(t)=t^2+1", r"f(x)\equiv x^2+1", r"f: x\mapsto x^2+1"], [r"f(t)=x^2+1", r"f: x\mapsto x^2-1"]),
    (r"3021_{4}", [r"\overline{3021}_4", r"3021\text{ in base }4"], [r"3021\text{ in base }5", r"\overline{3012}_4"]),
    (r"(2n)!!", [r"2^n n!"], [r"(2n)!", r"2n\cdot n!"]),
    (r"e^{i\pi/3}", [r"\operatorname{cis}\frac{\pi}{3}", r"\operatorname{cis}60^\circ"], [r"\operatorname{cis}\frac{\pi}{6}"]),
    (r"2^{10^6}", [r"4^{500000}"], [r"4^{500001}", r"8^{500000}"]),
    (r"\text{June 3}", [r"\text{3 June}", r"\text{June 3rd}", r"\text{3rd of June}"], [r"\text{June 4th}", r"\text{3 July}"]),
    (r"\text{No}", [r"\text{No, it is not possible.}"], [r"\text{No, wait: yes}", r"\text{No or yes}"]),
    (r"\text{Ada}", [r"\text{The winner is Ada}"], [r"\text{The loser is Ada}", r"\text{not Ada}"]),
    (r"1 \pm \sqrt{3}",
        [r"x=\frac{2\pm\sqrt{12}}{2}=1\pm\sqrt3", r"\{1+\sqrt3\}\cup\{1-\sqrt3\}"],
        [r"x=\frac{2\pm\sqrt{10}}{2}=1\pm\sqrt3"]),
    ("2.75", ["2,75"], ["2,7", "2,75,3", r"2,75\%"]),
    (
        r"2k\pi, k\in\mathbb{Z}",
        [r"2k\pi, k\in Z"],
        [r"2k\pi, k\in 2\mathbb{Z}", r"2k\pi, k\in\mathbb{Z}, k>1", r"2k\pi, k\in\mathbb{Z}_{<0}"],
    ),
    (r"2^n, n\ge 1", [r"2^n, n\in\mathbb{N}", "2^n, n > 0"], ["2^n, n > 1"]),
    ("4:1", ["8:2"], ["0:0", "1:4=4:1"]),
    (
        r"\langle 2,3\rangle",
        [r"2\mathbf{i}+3\mathbf{j}"],
        [r"2\mathbf{i}+3\mathbf{j}^2", r"2\mathbf{i}+3\mathbf{j}+1", r"(x+1,y)=(2,3)", r"2v=(2,3)"],
    ),
    (r"\{1,2\}", [r"\{2\}\cup\{1\}"], [r"\{1\}\cup\{\{2\}\}", r"\{1,\{2\}\}"]),
    (
        r"\text{Yes}",
        [r"\text{Yes, it is always possible}"],
        [r"\text{Yes, provided n is even}", r"\text{Yes, in most cases}", r"\text{Yes or odd}"],
    ),
    (r"(0,1)\cup(1,2)\cup(5,6)", [r"(0,2)\setminus\{1\}\cup(5,6)"], [r"(0,2)\cup(5,6)\setminus\{5\}"]),
    (r"[3,\infty)", [r"x\ge 3"], [r"\text{all integers } n\ge 3"]),
    ("23", [r"\text{twenty-three}"], [r"\text{twenty and three}", r"\text{twenty-third}"]),
    (r"\frac12", [r"\text{half}", r"\text{one half}"], [r"\text{half past}", r"\text{half as much}", r"\text{two and halves}"]),
    ("1000000", [r"\text{a million}", r"\text{one million}"], [r"\text{a billion}"]),
    ("9", [r"x\in\{9\}", r"x = 9\ (\text{the only solution})"], [r"\text{suppose } x = 9", "x /= 9", r"-\text{answer}=9"]),
    ("x=2,y=3", [r"\begin{array}{l}x=2\\y=3\end{array}", r"\left\{\begin{array}{l}x=2\\y=3\end{array}\right."], [r"x=2\text{ or }y=3"]),
]  # fmt: skip


@pytest.mark.parametrize(("gold", "right", "wrong"), PAIRS, ids=[gold for gold, _, _ in PAIRS])
def test_right_spellings_are_accepted_and_near_ones_are_not(gold: str, right: list[str], wrong: list[str]) -> None:
    def accepted(answer: str) -> bool:
        return judge_strict(f"So the answer is $\\boxed{{{answer}}}$.", gold).reason == "correct"

    assert [answer for answer in right if not accepted(answer)] == []
    assert [answer for answer in wrong if accepted(answer)] == []


REAL = [
    (r"This gives $3x = 21$ or $x=\boxed{7}$.", "7"),
    (r"so $2a-5=1$, or $a = \boxed{3}$ is the smallest value that works.", "3"),
    (r"The rate is $0.4 \cdot 2 = 0.8$, or $\boxed{80}$ cents.", "80"),
    (r"so the company has to sell at least $\boxed{45}$ tickets.", "45"),
    (r"At most $\boxed{6}$ of them are blue.", "6"),
    (r"It is possible with $\boxed{4}$ sides. Suppose that there were 5. But this is impossible because of the angles.", "4"),
    (r"Thus $3^{-1}\equiv\boxed{5}\pmod{7}$. We may check our answer: $3\cdot 5 = 15 \equiv 1$.", "5"),
    (r"\begin{align*}&=3x^2+4x^2\\&=\boxed{7}x^2\end{align*}", "7"),
    (r"\[\frac{50\text{ miles}}{2\text{ days}} = \boxed{25}\frac{\text{miles}}{\text{day}}\]", "25"),
    (r"If $r=1$, then $b=\boxed{4}$. If $r=-1$, then $b=\boxed{-4}$.", "-4, 4"),
    (r"$y = \boxed{5}$ and $x = \boxed{2}$.", "(2,5)"),
    (r"The box holds $\boxed{12}$ M&Ms.", "12"),
    (r"It takes $\boxed{90}$ minutes, or 1.5 hours.", "90"),
    (r"The distance is $\boxed{5}$ km, or 5000 m.", "5"),
    (r"Thus $m=\boxed{4}$, $n=\boxed{9}$, and $m+n=\boxed{13}$.", "13"),
    (r"Las soluciones son $\boxed{1}$ y $\boxed{5}$.", "1, 5"),
    (r"La respuesta es $1$ y $5$.", "1, 5"),
    (r"She lives on the $\boxed{18}$th floor.", "18"),
    (r"She must score at least $\boxed{9}$ points to pass.", "9"),
    (r"so $(p,q)=\boxed{(\frac15,4)}.$ Final Answer: The final answer is $(\frac15,4)$. I hope it is correct.", r"(\frac15,4)"),
    (r"So the answer is $\boxed{31\}$.", "31"),
    ("Twelve men can stay upright on the wave.", "12"),
    ("19 people were kicked out for other reasons.", "19"),
    ("$$a \\ge b.$$ Therefore, the error grows by 100%.", "100\\%"),
    ("لذا، ناتج العملية هو **92**.", "92"),
]  # fmt: skip
CHANGED = [
    (r"Either $8$, or $\boxed{7}$.", "7"),
    (r"$x = 8$ or $x=\boxed{7}$", "7"),
    (r"At least $\boxed{6}$.", "6"),
    (r"The answer is at least $\boxed{6}$.", "6"),
    (r"The answer lies between 5 and $\boxed{6}$.", "6"),
    (r"$\boxed{6}$. But that is impossible.", "6"),
    (r"$\boxed{6}$; no, 7.", "6"),
    (r"$\boxed{6}$ (extraneous)", "6"),
    (r"I first thought $\boxed{6}$, but it must be 7.", "6"),
    (r"If repetition were allowed, the answer would be $\boxed{6}$; it is not, so it is 5.", "6"),
    (r"$\boxed{6}$. Therefore, $x = 7$ is the answer.", "6"),
    (r"$\boxed{6}$ plus one, i.e. 7.", "6"),
    (r"$\boxed{6}\%$ of 50", "6"),
    (r"It takes $\boxed{90}$ minutes, or 2 hours.", "90"),
    (r"The distance is $\boxed{5}$ km, or 6 km.", "5"),
    (r"The answer is the $\boxed{6}$th prime.", "6"),
    (r"$\boxed{6} = x - 1$", "6"),
    (r"$(\boxed{x+1})^2$", "x+1"),
    (r"$x \notin \boxed{(1,2)}$", "(1,2)"),
    ("The answer is the number of subsets of a set of size 6.", "6"),
    ("The answer is the reciprocal of 6.", "6"),
    ("The answer is 6 percent of 40.", "6"),
    ("Answer: a triangle with side 6", "6"),
    ("Assume the answer is 6. Then we reach a contradiction.", "6"),
    ("My friend claims the answer is 6, but I got 7.", "6"),
    ("#### 6, no wait, 7", "6"),
    ("So it takes longer than 6.", "6"),
    ("The answer is the speed of light C.", r"\text{(C)}"),
]  # fmt: skip


@pytest.mark.parametrize(("text", "gold"), REAL)
def test_the_answer_of_a_real_solution_is_found(text: str, gold: str) -> None:
    assert judge_strict(text, gold).reason == "correct"


@pytest.mark.parametrize(("text", "gold"), CHANGED)
def test_words_that_change_an_answer_keep_it_from_being_right(text: str, gold: str) -> None:
    assert judge_strict(text, gold).reason != "correct"
