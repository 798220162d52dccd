/**
 * What `$` does, as small cases. Each runs in a directory of its own (see `fixture` in worker.mjs) with Bun's `$` and
 * with ours; what it returns or throws is compared.
 */
import { existsSync, readFileSync } from "node:fs";
// biome-ignore lint/suspicious/noExplicitAny: the cases also pass what the types forbid
type Any = any;

export interface Case {
  readonly name: string;
  /** Run in a process of its own, whose standard streams are compared too. */
  readonly echo?: boolean;
  readonly run: ($: Any, dir: string) => unknown;
}

const script = (text: string): Case => ({ name: text, run: ($) => $`${{ raw: text }}`.quiet().nothrow() });
const js = (name: string, run: Case["run"]): Case => ({ name, run });
const echo = (name: string, run: Case["run"]): Case => ({ name, echo: true, run });
const pause = (milliseconds: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, milliseconds));
const quiet = ($: Any) => (strings: TemplateStringsArray, ...values: unknown[]) => $(strings, ...values).quiet().nothrow();
const collect = async (lines: AsyncIterable<string>): Promise<string[]> => {
  const result: string[] = [];
  for await (const line of lines) result.push(line);
  return result;
};

const SCRIPTS = String.raw`
nope
echo hello world
echo "hello   world"
echo hello   world
ls -a a.txt
ls nofile
ls a.txt nofile
ls -z
ls --foo
ls -d dir
ls -1 dir/sub
ls empty
ls -a empty
ls -A hidden
ls -a hidden
ls -R dir/sub
ls dir/sub empty | sort
ls old -l
rm
rm nofile
rm nofile a.txt; ls a.txt
rm dir
rm -r dir; ls dir
rm -v a.txt
rm -v a.txt b.txt | sort
rm -rv dir/sub
rm -f nofile
rm -f
rm -rf dir nofile
rm -d empty
rm -d dir
rm -x
rm --foo a.txt
rm --force nofile
rm --recursive dir && ls
rm -i a.txt
rm -I a.txt
rm /
rm -rf /
rm -- a.txt
rm a.txt/x
rm -f a.txt/x
rm link; ls link dir/sub
rm -r link; ls dir/sub
mkdir
mkdir dir
mkdir x/y
mkdir -p x/y && ls x
mkdir -pv x/y
mkdir -pv dir
mkdir -v q
mkdir q1 q2 && ls -d q1 q2 | sort
mkdir a.txt/x
mkdir -z
mkdir -p a.txt
mkdir --parents x/y/z && ls x/y
mkdir --verbose q
touch
touch new && ls new
touch new1 new2 && ls new1 new2 | sort
touch nodir/x
touch a.txt && cat a.txt
touch -z
touch dir
mv
mv a.txt
mv nofile x
mv a.txt z.txt; cat z.txt
mv a.txt b.txt; cat b.txt
mv a.txt dir; ls dir/a.txt a.txt
mv a.txt b.txt nodir
mv a.txt b.txt a.txt
mv a.txt b.txt empty && cat empty/a.txt empty/b.txt
mv -z a b
mv a.txt a.txt/x
mv dir dir2 && ls dir2/sub
mv dir/sub empty && ls empty
mv nofile empty
mv a.txt nofile empty
cat nofile
cat a.txt b.txt
cat a.txt nofile b.txt
cp a.txt z.txt && cat z.txt
cp
cp nofile x
cp -r dir dir2 && ls dir2/sub
cd nofile
cd a.txt
cd dir && pwd
cd dir; cd -; pwd
cd dir; cd ..; pwd
cd a b
cd -
cd ""
cd; pwd
cd ~; pwd
cd /; pwd
cd ./dir/../empty; pwd
cd dir/; pwd
cd dir//sub; pwd
cd link; pwd
pwd
pwd x
which nope
which
which sh nope
which ls
which cd
exit 3
exit
exit 0
exit abc
exit 1 2
exit 256
exit 300
exit -1
exit +5
exit 99999999999999999999
echo a; exit 3; echo b
exit 3 && echo a
exit 3 || echo a
exit 3 | cat
(exit 3)
(exit 3) || echo sub
false; exit
(exit 3); echo $?
false; echo $?
echo $?
echo $@ $# $$ $! $- $*
seq
seq 3
seq 0
seq -3
seq 3 1
seq 1 2 7
seq a
seq 1 a
seq 1 2 a
seq inf
seq nan
seq -s , 3
seq -s
seq -s, 3
seq -t x 3
seq -t
seq -tx 3
seq --separator : 2
seq --terminator : 2
seq -w 8 10
seq --fixed-width 8 10
seq 0.5 2
seq 0.1 0.1 0.5
seq 1 0 3
seq 3 1 1
seq 1 -1 3
seq 5 -2 1
seq 1 1 1
seq 1 2 3 4
seq 1e2 101
seq 16777215 16777216
basename
basename /a/b c/d /
basename a/ /a/b/ // "" .
basename a b
dirname
dirname /a/b c d/e /
dirname a/ /a/b/ // . .. a//b
yes | head -n 2
yes a b | head -n 2
yes a | head -n 3 | wc -l
export FOO=1; echo $FOO; printenv FOO
export FOO=1 BAR="x y"; printenv FOO BAR
export 1=2; printenv 1
export FOO; printenv FOO
FOO=1; export FOO; printenv FOO
export a-b=1; printenv a-b
export =x
export FOO=a=b; echo $FOO
FOO=local; export FOO=exported; echo $FOO; printenv FOO
true a b
false a
true; false
false; true
echo
echo -n a
echo -n
echo -n -n a
echo -nn a
echo -en "a\n"
echo -e "a\tb"
echo -e "a\nb"
echo -e 'a\\b\a\b\e\f\v\r'
echo -ne 'a\x41\0101\c b'
echo -e 'x\0' 'y\xZ' 'z\q' 'w\'
echo -e a b c
echo -E "a\tb"
echo -eE "a\tb"
echo -x -- -n
echo - a
echo "a\tb" 'c\td' \t
echo -e "\x1b[1mbold"
! true
! false; echo hi
(echo a; echo b)
(cd dir); pwd
(cd dir && pwd) && pwd
(FOO=1; echo $FOO); echo $FOO
(export FOO=1); printenv FOO
((echo a))
( echo a )
(echo a) && (echo b)
(false) || echo c
(echo a; false) && echo b
()
(echo a
echo )
{ echo a; }
echo {a,b}
echo {a,b}{1,2} {x} {x,} {1..3}
echo a{b,c}d e{f,g}
echo {a,{b,c}} {{a,b},c}d
echo {a,b
echo a,b {,} {}
echo "{a,b}" '{a,b}' \{a,b}
echo {a,"b,c"} {"a b",c}
echo {$HOME,x}
echo {a,b}" c"
echo a{,b}c
X=1; echo {$X,2}
echo *.txt
echo *.nope
echo *.nope *.txt
ls a*.txt
ls *.nope
echo *
echo **
echo **/*.txt
echo **/d.txt
echo dir/**
echo dir/**/*.txt
echo dir/*/d.txt
echo */*
echo */*/*
echo ?.txt
echo [ab].txt
echo [ab]*.txt
echo ?*.txt
echo [!a]*.txt
echo "*.txt" '*.txt' \*.txt
echo "a"*.txt a"*" a.*
echo ./*.txt dir/../*.txt
echo */
echo dir/*
echo dir/sub/*
echo nodir/*
echo .*
echo hidden/* hidden/.*
echo *.{txt,md}
echo {a,b}*.txt
echo {a,b}.txt
FOO=*.nope; echo $FOO
FOO=*.txt; echo $FOO
FOO=*.txt; echo "$FOO"
X='*'; echo $X
X='*'; echo $X.txt $X*
X="a b"; echo $X; printf '<%s>' $X
printf '<%s>' $(echo a   b) "$(echo a   b)" x$(echo 1 2)y
printf '<%s>' $(printf 'a\nb\n\nc\n') "$(printf 'a\nb\n\n')"
printf '<%s>' $(printf ' a\tb ') "$(printf ' a ')"
printf '<%s>' "a$(echo b c)d"
echo ~ ~/x ~foo "~" a~
echo ~/"x y" ~"/x" \~ '~'
A=~; echo $A
A=~/x; echo $A
cd dir; echo ~
echo ${"`"}echo hi${"`"}
echo ${"`"}echo a b${"`"} x${"`"}echo c${"`"}y
echo "${"`"}echo a b${"`"}"
echo $(echo $(echo deep))
echo $(echo a; echo b)
echo $(cd dir; pwd); pwd
echo $(exit 3) x
echo $(false) x; echo a$(exit 3)b
echo $(nope)
echo $(ls nofile)
echo $(sh -c 'echo e >&2; echo o')
$(echo echo) hi
$(echo echo hi)
$(nope)
$(false)
$(exit 7)
$(true)
$(true) echo hi
$(exit 7) echo hi
A=$(echo hi); echo $A
A=$(echo a b); echo $A
A=$(false); echo "<$A>"
A=$(exit 3)
echo $()
echo "$(echo "a b"   c)"
echo "$(echo "x")y"
echo "a $(echo "b $(echo "c d") e") f"
printf '<%s>' "$(true)" $(true) x
printf '<%s>' "$NOPE" $NOPE x
printf '<%s>' "$NOPE"x ""$NOPE
FOO=1 BAR=2; echo $FOO$BAR; printenv FOO
FOO=1 && echo $FOO
FOO=1 printenv FOO
FOO=1 BAR=2 printenv FOO BAR
FOO=1 echo $FOO
FOO=1; FOO=2 echo $FOO; echo $FOO
FOO=1 sh -c 'echo $FOO'
FOO=1; sh -c 'echo "<$FOO>"'
FOO= printenv FOO
FOO=; echo "<$FOO>"
FOO='a b' BAR="c d"; echo $FOO $BAR
FOO="a"b'c'; echo $FOO
FOO=a,b; echo $FOO
FOO=$HOME/x; echo $FOO
1FOO=1
FOO-BAR=1
=FOO
FOO=1=2; echo $FOO
echo FOO=1 a=b =c
A=1 B=$A; echo $B
A={a,b}; echo $A
A=1; A=$A$A; echo $A
PATH=/nope nope
PATH=/nope cat a.txt
PATH=/nope; cat a.txt
HOME=/tmp; echo ~ $HOME
export HOME=/tmp; echo ~; cd; pwd
echo a > o; cat o
echo a >o; cat o
echo a>o; cat o
echo a > o; echo b > o; cat o
echo a > o; echo b >> o; cat o
echo a >> o; cat o
nope 2> e; ls e
nope > e; ls e
nope &> e; ls e
sh -c 'echo out; sleep 0.1; echo err >&2' &> o; cat o
sh -c 'echo out; sleep 0.1; echo err >&2' 2>&1
sh -c 'echo out; sleep 0.1; echo err >&2' 1>&2
sh -c 'echo err >&2' 2> e; cat e
sh -c 'echo err >&2' 2>/dev/null
sh -c 'echo e >&2' 2>> e1; sh -c 'echo e >&2' 2>> e1; cat e1
sh -c 'echo a; sleep 0.1; echo b >&2' &>> e2; cat e2
echo hi 1> o1; cat o1
echo hi 1>> o1; echo ho 1>> o1; cat o1
echo hi 3> o3; cat o3
echo hi >&2
echo hi 1>&2
echo hi 2>&1
ls nofile 2>&1
ls nofile 2> le; cat le
ls dir/sub > lo; cat lo
ls nofile > o; cat o
pwd > o; cat o
cat < a.txt
cat < nofile
cat < dir
echo hi > nodir/x
echo hi > ""
echo hi > dir
echo hi > $NOPE
echo hi > *.txt
echo hi > a*.txt; cat a.txt
echo hi > {x,y}
F=out; echo hi > $F; cat out
echo x > "my file"; cat "my file"
echo x > $(echo sub).txt; cat sub.txt
cat < a.txt | wc -c
wc -c < a.txt
cat 0< a.txt
echo a 2>/dev/null
echo a > /dev/null
echo hello > a.txt 2>&1
echo a > o > p
echo a > o b
> o
> o echo hi
< a.txt cat
cat a.txt < b.txt
cat <<< hi
cat << EOF
echo a 2>&1 | cat
echo file2> o; cat o
echo a2 >o; cat o
echo a | cat | wc -c
echo a|cat
false | true
true | false
nope | cat
echo hi | nope
echo hi | true
echo hi | echo ho
echo hi | cat -
echo hi | cat > o; cat o
cat a.txt | cat > o; cat o
sh -c 'echo e >&2' | cat
sh -c 'echo e >&2' 2>&1 | cat
nope 2>&1 | cat
ls nofile 2>&1 | cat
ls nofile | cat
head -c 300000 /dev/zero | cat | wc -c
echo a | (cat)
echo a | (true; cat)
(echo a; echo b) | cat
(echo a; sh -c 'echo b'; echo c) | cat
if true; then echo a; fi | cat
echo a | if true; then cat; fi
FOO=1 | cat
cd dir | cat; pwd
FOO=1 | true; echo "<$FOO>"
echo a | cat && echo b
echo a | false || echo b
true && echo a | cat
[[ -f a.txt ]] | cat
seq 100000 | tail -n 1
seq 3 | cat
nope || echo fallback
true && true && echo yes
false || false || echo no
false && echo a || echo b
true || echo c && echo d
false && echo a; echo b
true &&
a && 
&& a
|| a
a ||
|
a |
| a
echo a &
echo a & echo b
&
echo a |& cat
echo "unclosed
echo 'unclosed
echo $(unclosed
echo ${"`"}unclosed
;
;;
echo a;; echo b
echo a; 
; echo a
echo a;echo b
if true; then echo a; else echo b; fi
if false; then echo a; else echo b; fi
if false; then echo a; elif true; then echo c; else echo b; fi
if false; then echo a; elif false; then echo c; else echo b; fi
if false; then echo a; elif false; then echo c; elif true; then echo d; fi
if false; then echo a; fi
if false; then true; fi; if true; then sh -c 'exit 4'; fi
if sh -c 'exit 4'; then true; else false; fi
if true; false; then echo a; else echo b; fi
if true; then if false; then echo x; else echo y; fi; fi
if [[ -f a.txt ]]; then echo file; fi
if nope; then echo a; else echo b; fi
if true && false; then echo a; else echo b; fi
if echo a | cat; then echo b; fi
if (true); then echo a; fi
(if true; then echo a; fi)
$(if true; then echo echo; fi) hi
if true; then echo a; echo b; fi; echo c
if true; then echo a; fi && echo b
if true; then echo a; fi > o9
if true; echo a; fi
if true; then echo a
if true; then; fi
if; then echo a; fi
if true; then echo a; then echo b; fi
if true; then echo a; else echo b
if true; then echo a; elif true; then echo b
fi
then echo a
else
echo if then fi else
iffy
"if" true
if true; then echo "fi"; fi
[[ -f a.txt ]] && echo yes
[[ -f dir ]] || echo no
[[ -f nofile ]] || echo no
[[ -d dir ]] && echo yes
[[ -d a.txt ]] || echo no
[[ -c /dev/null ]] && echo yes
[[ a == a ]] && echo yes
[[ a == b ]] || echo no
[[ a != a ]] || echo no
[[ a != b ]] && echo yes
[[ -z "" ]] && echo z
[[ -z x ]] || echo x
[[ -n "" ]] || echo n
[[ -n x ]] && echo x
[[ -z $NOPE ]] && echo z
[[ $NOPE == "" ]] && echo e
[[ "$NOPE" == "" ]] && echo e
[[ "" == "" ]] && echo e
[[ $NOPE == $NOPE ]] && echo e
FOO="a b"; [[ $FOO == "a b" ]] && echo y
[[ -f *.nope ]] && echo y
[[ -f a*.txt ]] && echo y
[[ $(echo a) == a ]] && echo y
[[ -f $(echo a.txt) ]] && echo y
[[ -f a.txt ]]
[[ -f nofile ]]
[[ -e a.txt ]]
[[ a =~ b ]]
[[ a = a ]]
[[ 1 -eq 1 ]]
[[ 1 -lt 2 ]]
[[ -x a ]]
[[ -r a.txt ]]
[[ -s a.txt ]]
[[ -q a ]]
[[ a.txt -nt b.txt ]]
[[ a ]]
[[ ]]
[[ -f ]]
[[ -f a.txt
[[ a == ]]
[[ -f a.txt && -f b.txt ]]
[[ ! -f a.txt ]]
echo [[ a ]]
echo ]]
echo [[a]]
([[ -f a.txt ]]) && echo y
[ a = a ]
[ a = b ]
test -f a.txt
for i in a; do echo $i; done
while true; do echo; done
f() { echo a; }
case a in a) echo b;; esac
set -e
source a.txt
eval echo hi
./a.txt
./run.sh x
run.sh
dir/../run.sh y
./dir
/nope/nope
echo a # comment
echo a#b c #d
# only comment
#
echo "# no" '# no' \# no
echo a;# comment
echo a &&# comment
echo 'a'"b"c
echo "" '' x
printf '<%s>' "" '' x
printf '<%s>' ""x x"" '' a''b
printf '<%s>' "a"'b'c"d e"
""
"" foo
'' foo
" "
echo "a'b" 'a"b' "a\"b" "a\\b" "a\$b" "a\qb"
echo ${"$"}{HOME}
echo ${"$"}{FOO:-x}
echo $((1+2))
echo \$HOME "\$HOME" '$HOME'
echo $HOME "$HOME" "x$HOME/y"
FOO=1; echo $FOO.txt $FOO-x "$FOO:y" $FOO/$FOO $=x $ "a$" a$
FOO=1; echo $FOO_ $FOOx "$FOO"x $FOO"x"
FOO=1; echo "'$FOO'" '"$FOO"'
echo a\ b 'a\b' a\\b "a\\b"
echo \n \\ \t \" \'
echo \\*
echo a\
echo \a\b
$NOVAR
$NOVAR echo hi
$NOVAR $NOVAR
"$NOVAR"
X=echo; $X hi
X="echo hi"; $X
echo "a  b"   'c  d'
 echo leading
echo trailing   
   
sh -c 'kill -9 $$'
sh -c 'kill -15 $$'
sh -c 'exit 300'
sh -c 'exit 42'
sh -c 'exit 42'; echo after
sh -c 'exit 42' || echo failed
sh -c 'echo "$0" "$1"' a b
printenv PWD
cd dir; printenv PWD OLDPWD
cd dir; cd sub; printenv OLDPWD; cd -; pwd
sh -c 'printf abc'
sh -c 'cat'
echo {a,b} > o; cat o
echo ** b
echo **b
echo a**
echo a b* c
echo "a
`.split("\n").slice(1, -1);

/** Scripts that a line cannot hold. */
const MULTILINE: readonly string[] = [
  "",
  "\n",
  "\n\n  \n",
  "echo a\necho b",
  "\necho a\n\necho b\n",
  "echo a # c\necho b",
  "# c\necho b",
  "echo a #c\n#d\n\necho b",
  "if true\nthen\n  echo multi\nfi",
  "if false\nthen\n  echo a\nelif true\nthen\n  echo b\nelse\n  echo c\nfi\necho d",
  "if true; then\n  echo a\n\n  echo b\nfi",
  "if true; then # why\n  echo a\nfi",
  "(\n  echo a\n  echo b\n)",
  "(echo a\n)",
  "echo a &&\necho b",
  "echo a ||\necho b",
  "echo a |\ncat",
  "echo a\\\nb",
  "echo a \\\n  b",
  "echo \"a\\\nb\"",
  "echo 'a\\\nb'",
  "echo \"a\nb\"",
  "echo $(\n  echo a\n  echo b\n)",
  "echo $(echo a # c\n)",
  "FOO=1\necho $FOO",
  "FOO=1 \\\n  printenv FOO",
  "  echo a\n  echo b\n",
  "\techo a",
  "echo\ta",
  "echo a\tb",
  "echo a\r\necho b",
  "echo a;\necho b;\n",
  "echo a > o\ncat o",
  "nope\necho b",
  "false\ntrue",
  "true\nfalse",
  "echo \u0008",
  "mkdir foo\ncd foo\npwd\ntouch bar\nls\ncd ..\nrm -rf foo\nls foo",
  "cd dir\n\necho *\n",
  "echo \"one\n# two\nthree\"",
];

const ESCAPES = ["", "a", "a b", "$x", "`", '"', "\\", "é", "a'b", "\n", "\t", "*", "?", "[", "{", "~", "#", "=", "1", "a-b_c.d/e:f@g", "ü 1", "😀", "$(echo hi)", 'he said "no"', "!", "%", "^", "<", "|", ";", "&", "(", ","];

const BRACES = ["{a,b}", "a{b,c}d", "{a,b}{1,2}", "{a,{b,c}}", "{1..3}", "{a}", "a", "", "{a,b", "a,b}", "{,}", "{a,}", "{,a}", "{a b,c}", "\\{a,b}", "{a,b\\,c}", "{{a,b},c}d", "a{b,c{d,e}f}g", "{}", "{a,b}}", "é{a,b}", "{a,b}{c}", "x{a}{b,c}", "{{a,b}}", "{a,{b}", "{{a,b}", "a{b,c}{d", "{a,b,c,d,e}", "{a,'b,c'}", '{a,"b,c"}', "$HOME{a,b}", "{a,b}\\", "{a\\}b,c}", "echo {hello,world}", "{a,b}{c,d}{e,f}", "{a,{b,{c,d}}}", "{,,}", "{a,b},c", "{a, b}"];

class Named {
  toString(): string {
    return "K k";
  }
}

const VALUES: readonly (readonly [string, () => unknown])[] = [
  ["string", () => "a b"],
  ["empty string", () => ""],
  ["special characters", () => "$HOME `x` \"q\" 'q' \\ * {a,b} ; | & > < ( ) # ~ !"],
  ["newline", () => "a\nb"],
  ["trailing newline", () => "a\n"],
  ["leading newlines", () => "\n\na"],
  ["tab", () => "a\tb"],
  ["non-ASCII", () => "ü 😀"],
  ["NUL", () => "a\0b"],
  ["backspace", () => "\b__bun_0 \b__bunstr_0"],
  ["lone surrogate", () => "\ud800"],
  ["option", () => "-n"],
  ["number", () => 1.5],
  ["negative zero", () => -0],
  ["bigint", () => 10n],
  ["boolean", () => true],
  ["null", () => null],
  ["undefined", () => undefined],
  ["symbol", () => Symbol("x")],
  ["function", () => () => 1],
  ["array", () => ["a b", "c", ""]],
  ["empty array", () => []],
  ["nested array", () => ["a", ["b", ["c d"]]]],
  ["array of values", () => [1, true, null, undefined]],
  ["array with raw", () => ["a", { raw: "b; echo c" }]],
  ["array with object", () => [{}]],
  ["raw", () => ({ raw: "a b; echo c" })],
  ["raw empty", () => ({ raw: "" })],
  ["raw number", () => ({ raw: 5 })],
  ["raw with quotes", () => ({ raw: '"a  b" $HOME' })],
  ["raw inherited", () => Object.create({ raw: "a" })],
  ["plain object", () => ({})],
  ["object with fields", () => ({ a: 1 })],
  ["null-prototype object", () => Object.create(null)],
  ["map", () => new Map()],
  ["promise", () => Promise.resolve(1)],
  ["date", () => new Date(0)],
  ["URL", () => new URL("file:///a b")],
  ["regular expression", () => /a b/],
  ["error", () => new Error("x y")],
  ["toString of its own", () => ({ toString: () => "a b" })],
  ["instance with toString", () => new Named()],
  ["String object", () => new String("a b")],
  ["buffer", () => Buffer.from("x")],
  ["DataView", () => new DataView(new ArrayBuffer(1))],
  ["blob", () => new Blob(["x"])],
  ["response", () => new Response("x")],
];

export const cases: readonly Case[] = [
  ...[...new Set(SCRIPTS)].map((line) => script(line.replaceAll('${"`"}', "`").replaceAll('${"$"}', "$"))),
  ...MULTILINE.map(script),
  ...ESCAPES.map((text) => js(`$.escape ${JSON.stringify(text)}`, ($) => $.escape(text))),
  ...ESCAPES.map((text) => js(`escaped argument ${JSON.stringify(text)}`, ($) => $`printf %s ${{ raw: $.escape(text) }}`.quiet())),
  ...BRACES.map((text) => js(`$.braces ${JSON.stringify(text)}`, ($) => $.braces(text))),
  ...VALUES.map(([name, value]) => js(`argument: ${name}`, ($) => quiet($)`printf '<%s>' ${value()} end`)),
  ...VALUES.map(([name, value]) => js(`inside a word: ${name}`, ($) => quiet($)`printf '<%s>' x${value()}y`)),
  ...VALUES.map(([name, value]) => js(`in double quotes: ${name}`, ($) => quiet($)`printf '<%s>' "x${value()}y"`)),

  js("argument of echo", ($) => quiet($)`echo ${"a\n"}; echo ${"a\n\n"}; echo ${"\n\na"}; echo ${"\n"}; echo ${""}`),
  js("in single quotes", ($) => quiet($)`printf '<%s>' '${"a b"}' '${""}' '${"it's"}'`),
  js("as the command", ($) => quiet($)`${"echo"} hi`),
  js("as the command with a space", ($) => quiet($)`${"echo hi"}`),
  js("as an assignment", ($) => quiet($)`${"FOO=1"} echo x`),
  js("as the value of an assignment", ($) => quiet($)`FOO=${"a b"}; echo "$FOO"`),
  js("as an exported value", ($) => quiet($)`export FOO=${"a b"}; printenv FOO`),
  js("as a variable of a command", ($) => quiet($)`FOO=${"a b"} printenv FOO`),
  js("as a keyword", ($) => quiet($)`${"if"} true`),
  js("as a tilde", ($) => quiet($)`echo ${"~"} ${"~/x"} ~${"/x"}`),
  js("as a glob", ($) => quiet($)`echo ${"*"}.txt ${"*.txt"}`),
  js("in a glob", ($) => quiet($)`echo ${"a"}*`),
  js("in a glob that it would break", ($) => quiet($)`echo ${"*"}*`),
  js("in braces", ($) => quiet($)`echo {a,${"b,c"}}`),
  js("as an operator", ($) => quiet($)`echo a ${"&&"} echo b`),
  js("as a redirect", ($) => quiet($)`echo a ${">"} o`),
  js("as a conditional operator", ($) => quiet($)`[[ ${"-f"} a.txt ]] && echo y`),
  js("as a conditional operand", ($) => quiet($)`[[ ${"a b"} == ${"a b"} ]] && echo y; [[ -z ${""} ]] && echo z`),
  js("as a file to write", ($) => quiet($)`echo hi > ${"my out"}; cat ${"my out"}`),
  js("as a file to read", ($) => quiet($)`cat < ${"a.txt"}`),
  js("as a comment", ($) => quiet($)`echo a ${"#b"} # ${"c"}
echo d`),
  js("in a substitution", ($) => quiet($)`echo $(echo ${"a b"}) "$(echo ${'"'})"`),
  js("in backticks", ($) => quiet($)`echo \`echo ${"a b"}\``),
  js("two values side by side", ($) => quiet($)`printf '<%s>' ${"a"}${"b c"} "${"d"}${"e"}"`),
  js("variable beside a value", ($) => quiet($)`FOO=x; printf '<%s>' $FOO${"y"} ${"y"}$FOO`),
  js("array beside text", ($) => quiet($)`printf '<%s>' --f=${["a", "b c"]}`),
  js("array in the command's place", ($) => quiet($)`${["echo", "a  b"]}`),
  js("array as a whole command after &&", ($) => quiet($)`true && ${["echo", "$HOME"]}`),
  js("promise of this shell", ($) => quiet($)`echo ${$`echo hi`}`),
  js("awaited text of this shell", async ($) => quiet($)`echo ${await $`echo hi`.text()}`),
  js("output of this shell", async ($) => quiet($)`echo ${await quiet($)`echo hi`}`),
  js("escape sequences of the template", ($) => quiet($)`echo \n "\n" '\n' \\ \t \$HOME`),

  js("buffer as input", ($) => quiet($)`cat < ${Buffer.from("hello")}`),
  js("empty buffer as input", ($) => quiet($)`cat < ${Buffer.alloc(0)}`),
  js("large buffer as input", ($) => quiet($)`wc -c < ${Buffer.alloc(500_000)}`),
  js("part of a buffer as input", ($) => quiet($)`cat < ${new Uint8Array([64, 65, 66, 67]).subarray(1, 3)}`),
  js("Uint16Array as input", ($) => quiet($)`wc -c < ${new Uint16Array(3)}`),
  js("ArrayBuffer as input", ($) => quiet($)`cat < ${new Uint8Array([65, 66]).buffer}`),
  js("response as input", ($) => quiet($)`cat < ${new Response("resp")}`),
  js("response without a body as input", ($) => quiet($)`cat < ${new Response()}`),
  js("blob as input", ($) => quiet($)`cat < ${new Blob(["blob"])}`),
  js("stream as input", ($) => quiet($)`cat < ${new Blob(["blob"]).stream()}`),
  js("input in a pipeline", ($) => quiet($)`cat < ${Buffer.from("xyz")} | wc -c`),
  js("input of a builtin", ($) => quiet($)`echo hi < ${Buffer.from("x")}`),
  js("input that is not read", ($) => quiet($)`true < ${Buffer.alloc(500_000)}`),
  js("input that a command does not read", ($) => quiet($)`sh -c 'exit 3' < ${Buffer.alloc(500_000)}`),
  js("plain object as input", ($) => quiet($)`cat < ${{}}`),
  js("buffer in double quotes", ($) => quiet($)`cat < "${Buffer.from("x")}"`),
  js("two redirects", ($) => quiet($)`cat < ${Buffer.from("x")} > ${Buffer.alloc(4)}`),
  ...["echo hi", "printf hi", "echo hello", "printf hello", "true"].map((command) =>
    js(`buffer as output of ${command}`, async ($) => {
      const memory = Buffer.alloc(4, 46);
      const output = await quiet($)`${{ raw: command }} > ${memory}`;
      return [output, memory.toString()];
    }),
  ),
  js("part of a buffer as output", async ($) => {
    const memory = new Uint8Array(6).fill(46);
    const output = await quiet($)`printf abcdef > ${memory.subarray(1, 4)}`;
    return [output, Buffer.from(memory).toString()];
  }),
  js("buffer for errors", async ($) => {
    const memory = Buffer.alloc(4, 46);
    const output = await quiet($)`sh -c 'echo x >&2; echo y' 2> ${memory}`;
    return [output, memory.toString()];
  }),
  js("buffer at the end of a pipeline", async ($) => {
    const memory = Buffer.alloc(4, 46);
    const output = await quiet($)`echo hi | cat > ${memory}`;
    return [output, memory.toString()];
  }),
  js("blob as output", ($) => quiet($)`echo hi > ${new Blob(["x"])}`),
  js("response as output", ($) => quiet($)`echo hi > ${new Response("x")}`),

  js("throws", ($) => $`exit 3`.quiet()),
  js("throws with output", ($) => $`sh -c 'echo o; echo e >&2; exit 2'`.quiet()),
  js("throws for an unknown command", ($) => $`nope`.quiet()),
  js("the error", async ($) => {
    try {
      return await $`sh -c 'echo 5; echo e >&2; exit 2'`.quiet();
    } catch (caught) {
      const error = caught as Any;
      return {
        names: [error.name, error.constructor.name, String(error)],
        is: [error instanceof $.ShellError, error instanceof Error],
        codes: [error.exitCode, error.info.exitCode],
        buffers: [Buffer.isBuffer(error.stdout), Buffer.isBuffer(error.stderr), error.stdout.toString(), error.stderr.toString()],
        methods: [error.text(), error.text("hex"), error.json(), Array.from(error.bytes()), error.arrayBuffer().byteLength, error.blob().size],
        keys: Object.keys(error),
        json: JSON.stringify(error),
        info: JSON.stringify(error.info),
        stack: error.stack.split("\n")[0],
      };
    }
  }),
  js("the output", async ($) => {
    const output = await $`sh -c 'echo 5; echo e >&2'`.quiet();
    return {
      name: output.constructor.name,
      keys: Object.keys(output),
      methods: Object.getOwnPropertyNames(Object.getPrototypeOf(output)),
      buffers: [Buffer.isBuffer(output.stdout), Buffer.isBuffer(output.stderr)],
      results: [output.text(), output.text("base64"), output.json(), Array.from(output.bytes()), output.arrayBuffer().byteLength, output.blob().size, await output.blob().text()],
      json: JSON.stringify(output),
    };
  }),
  js("output.json of no JSON", async ($) => (await quiet($)`true`).json()),
  js("text", ($) => $`echo hi`.text()),
  js("text with an encoding", ($) => $`echo hi`.text("hex")),
  js("text of UTF-8", ($) => $`printf '\303\274'`.text()),
  js("text of invalid UTF-8", ($) => $`printf '\377a'`.text()),
  js("text of nothing", ($) => $`true`.text()),
  js("text fails", ($) => $`sh -c 'echo o; exit 1'`.text()),
  js("text does not fail with nothrow", ($) => $`sh -c 'echo o; exit 1'`.nothrow().text()),
  js("text leaves stderr out", ($) => $`sh -c 'echo e >&2; echo o'`.text()),
  js("json", ($) => $`echo '{"a":[1,2]}'`.json()),
  js("json fails", ($) => $`false`.json()),
  js("lines", ($) => collect($`printf 'a\nb\nc'`.lines())),
  js("lines with a last newline", ($) => collect($`printf 'a\nb\n'`.lines())),
  js("lines of nothing", ($) => collect($`true`.lines())),
  js("lines with CR", ($) => collect($`printf 'a\r\nb'`.lines())),
  js("lines fail", ($) => collect($`sh -c 'echo a; exit 1'`.lines())),
  js("lines are lazy", async ($) => {
    $`touch lazy`.lines();
    await pause(30);
    return existsSync("lazy");
  }),
  js("blob", async ($) => {
    const blob = await $`echo hi`.blob();
    return [blob.size, blob.type, await blob.text()];
  }),
  js("arrayBuffer", async ($) => {
    const buffer = await $`echo hi`.arrayBuffer();
    return [buffer.constructor.name, buffer.byteLength];
  }),
  js("bytes", async ($) => {
    const bytes = await $`echo hi`.bytes();
    return [bytes.constructor.name, Array.from(bytes)];
  }),
  js("large output", async ($) => (await $`head -c 1000000 /dev/zero`.quiet()).stdout.length),
  js("large output of a builtin", async ($) => (await $`seq 20000`.text()).length),
  js("binary output", async ($) => (await $`printf '\000\001\377'`.quiet()).stdout.toString("hex")),
  js("large errors", async ($) => (await quiet($)`sh -c 'head -c 300000 /dev/zero >&2'`).stderr.length),

  js("lazy", async ($) => {
    const promise = $`touch lazy`.quiet();
    await pause(30);
    const before = existsSync("lazy");
    await promise;
    return [before, existsSync("lazy")];
  }),
  js("run", async ($) => {
    const promise = $`touch ran`.quiet();
    const same = promise.run() === promise;
    await pause(100);
    return [same, existsSync("ran")];
  }),
  js("runs once", async ($) => {
    const promise = $`echo x >> log`.quiet();
    const [first, second] = await Promise.all([promise, promise.then((output: unknown) => output)]);
    return [first === second, (await promise) === first, readFileSync("log", "utf8")];
  }),
  js("then", ($) => $`true`.quiet().then((output: Any) => output.exitCode)),
  js("then is a plain promise", async ($) => {
    const chained = $`true`.quiet().then();
    return [chained.constructor.name, chained instanceof $.ShellPromise, (await chained).exitCode];
  }),
  js("catch", ($) => $`false`.quiet().catch((error: Any) => error.exitCode)),
  js("finally", ($) => $`true`.quiet().finally(() => 5)),
  js("Promise.all", ($) => Promise.all([$`echo 1`.text(), $`echo 2`.text(), $`sh -c 'echo 3'`.text()])),
  js("many at once", async ($) => (await Promise.all(Array.from({ length: 30 }, (_, index) => $`sh -c ${`echo ${index}`}`.text()))).join("")),
  js("in a promise subclass", ($) => {
    const promise = $`true`;
    return [promise instanceof Promise, promise instanceof $.ShellPromise, promise.constructor.name, String(promise)];
  }),
  js("methods give the promise back", ($) => {
    const promise = $`true`;
    return [promise.quiet() === promise, promise.nothrow() === promise, promise.throws(true) === promise, promise.cwd("/") === promise, promise.env({}) === promise];
  }),
  js("prototype", ($) => Object.getOwnPropertyNames($.ShellPromise.prototype).sort()),
  js("no stdin property", ($) => typeof $`true`.stdin),
  js("quiet after the run", async ($) => {
    const promise = $`echo hi`.quiet();
    await promise;
    promise.quiet();
  }),
  js("cwd after the run", async ($) => {
    const promise = $`echo hi`.quiet();
    await promise;
    promise.cwd("/");
  }),
  js("env after the run", async ($) => {
    const promise = $`echo hi`.quiet();
    await promise;
    promise.env({});
  }),
  js("text after the run", async ($) => {
    const promise = $`echo hi`.quiet();
    await promise;
    return promise.text();
  }),
  js("nothrow after the start", ($) => $`sh -c 'exit 4'`.quiet().run().nothrow()),
  js("throws(false)", ($) => $`false`.quiet().throws(false)),
  js("nothrow then throws(true)", ($) => $`false`.quiet().nothrow().throws(true)),
  js("throws()", ($) => $`false`.quiet().throws()),
  js("quiet(false) after quiet", async ($) => (await $`true`.quiet(false)).exitCode),

  js("syntax errors are thrown at once", ($) => {
    $`echo (`;
    return "not thrown";
  }),
  js("bad values are thrown at once", ($) => {
    $`echo ${{}}`;
    return "not thrown";
  }),
  js("bad redirects are thrown at once", ($) => {
    $`echo > ${new Blob(["x"])}`;
    return "not thrown";
  }),
  js("called as a function", ($) => $("echo hi")),
  js("called with an array", ($) => $(["echo hi"])),
  js("called without arguments", ($) => $()),
  js("called with strings that have raw", ($) => $({ raw: ["echo ", " x"] }, "a b").quiet()),
  js("missing value", ($) => $({ raw: ["echo ", ""] }).quiet()),

  js("cwd", ($) => $`pwd`.cwd("dir").text()),
  js("cwd is for external commands too", ($) => $`sh -c pwd; ls; echo *`.cwd("dir/sub").text()),
  js("cwd absolute", ($, dir) => $`pwd`.cwd(`${dir}/dir`).text()),
  js("cwd with dots", ($) => $`pwd`.cwd("dir/../dir").text()),
  js("cwd missing", ($) => $`pwd`.cwd("/nope/nope").quiet()),
  js("cwd missing is thrown when it runs", ($) => {
    $`pwd`.cwd("/nope/nope");
    return "not thrown";
  }),
  js("cwd of a file", ($) => $`pwd`.cwd("a.txt").quiet()),
  js("cwd empty", ($) => $`pwd`.cwd("").text()),
  js("cwd .", ($) => $`pwd`.cwd(".").text()),
  js("cwd undefined", ($) => $`pwd`.cwd(undefined).text()),
  js("cwd number", ($) => $`pwd`.cwd(5).quiet()),
  js("cwd does not stay", async ($) => [await $`cd dir; pwd`.text(), await $`pwd`.text()]),
  js("env", ($) => $`/usr/bin/env`.env({ A: "1", B: undefined, C: 3 }).text()),
  js("env empty", ($) => $`/usr/bin/env`.env({}).text()),
  js("env in the shell", ($) => $`echo "<$A>" "<$HOME>"`.env({ A: "1" }).text()),
  js("env then cwd", ($) => $`/usr/bin/env`.env({ A: "1" }).cwd("dir").text()),
  js("cwd then env", ($) => $`/usr/bin/env`.cwd("dir").env({ A: "1" }).text()),
  js("env undefined", ($) => $`echo $HOME`.env(undefined).text()),
  js("env spread", ($) => $`echo $HOME $A`.env({ ...process.env, A: "a" }).text()),
  js("env without PATH", ($) => quiet($)`ls a.txt; cat a.txt`.env({})),
  js("env with another PATH", ($) => quiet($)`cat a.txt`.env({ PATH: "/nope" })),
  js("env with a PATH of the fixture", ($, dir) => $`tool x`.env({ PATH: `${dir}/bin` }).text()),
  js("env null", ($) => $`echo`.env(null).quiet()),
  js("env number", ($) => $`echo`.env(5).quiet()),
  js("env array", ($) => $`/usr/bin/env`.env(["x"]).text()),
  js("changes of process.env are seen", async ($) => {
    process.env["CONFORMANCE"] = "seen";
    try {
      return [await $`echo $CONFORMANCE`.text(), await $`printenv CONFORMANCE`.text()];
    } finally {
      delete process.env["CONFORMANCE"];
    }
  }),
  js("export does not stay", async ($) => [await $`export FOO=1; echo $FOO`.text(), await $`echo "<$FOO>"`.text(), process.env["FOO"]]),

  js("shape of $", ($) => [typeof $, typeof $.Shell, typeof $.ShellPromise, typeof $.ShellError, Object.keys($).sort(), $.name, $.length]),
  js("shape of the settings", ($) => ["env", "cwd", "nothrow", "throws", "braces", "escape"].map((name) => typeof $[name])),
  js("Shell without new", ($) => $.Shell()),
  js("new Shell", async ($) => {
    const shell = new $.Shell();
    const same = [shell.nothrow() === shell, shell.cwd("dir") === shell, shell.env({ A: "1" }) === shell, shell.throws(false) === shell];
    const output = await shell`pwd; echo $A; sh -c 'exit 3'`.quiet();
    return [typeof shell, shell.name, Object.keys(shell), same, output, (await $`pwd`.text()).length];
  }),
  js("new Shell throws by default", ($) => new $.Shell()`false`.quiet()),
  js("new Shell called as a function", ($) => new $.Shell()("x")),
  js("$.nothrow", async ($) => {
    try {
      const same = $.nothrow() === $;
      return [same, (await $`false`.quiet()).exitCode];
    } finally {
      $.throws(true);
    }
  }),
  js("$.throws", async ($) => {
    try {
      $.throws(false);
      const code = (await $`sh -c 'exit 3'`.quiet()).exitCode;
      $.throws(true);
      return [code, await $`false`.quiet().catch((error: Any) => error.name)];
    } finally {
      $.throws(true);
    }
  }),
  js("$.cwd", async ($) => {
    try {
      const same = $.cwd("dir") === $;
      return [same, await $`pwd`.text(), await $`pwd`.cwd("empty").text(), await $`printenv PWD`.text()];
    } finally {
      $.cwd();
    }
  }),
  js("$.cwd then .cwd()", async ($) => {
    try {
      $.cwd("dir");
      return await $`pwd`.cwd(undefined).text();
    } finally {
      $.cwd();
    }
  }),
  js("$.env", async ($) => {
    try {
      const same = $.env({ A: "1" }) === $;
      return [same, await $`echo $A "<$HOME>"`.text(), await $`echo "<$A>"`.env({ B: "2" }).text()];
    } finally {
      $.env();
    }
  }),
  js("$.env copies", async ($) => {
    try {
      const env: Record<string, string> = { A: "1" };
      $.env(env);
      env["A"] = "2";
      return await $`echo $A`.text();
    } finally {
      $.env();
    }
  }),
  js("settings are taken when the script is made", async ($) => {
    try {
      const promise = $`pwd`.quiet();
      $.cwd("dir");
      return await promise.text();
    } finally {
      $.cwd();
    }
  }),
  js("$.cwd number", ($) => $.cwd(5)),
  js("$.env null", ($) => $.env(null)),
  js("$.escape number", ($) => $.escape(5)),
  js("$.escape nothing", ($) => $.escape()),
  js("$.escape null", ($) => $.escape(null)),
  js("$.braces nothing", ($) => $.braces()),
  js("$.braces number", ($) => $.braces(5)),
  js("positional arguments", ($) => quiet($)`echo $1x $9 "$2" $12`),

  echo("echo: both streams", ($) => $`echo out; sh -c 'echo err >&2'`),
  echo("echo: quiet", ($) => $`echo out; sh -c 'echo err >&2'`.quiet()),
  echo("echo: text is quiet", ($) => $`echo out`.text()),
  echo("echo: nothrow", ($) => $`echo out; nope`.nothrow()),
  echo("echo: throws", ($) => $`echo out; nope`),
  echo("echo: redirected", ($) => $`echo out > o; ls nofile 2> e`.nothrow()),
  echo("echo: pipeline", ($) => $`echo a | cat`),
  echo("echo: substitution", ($) => $`echo $(echo inner)`),
  echo("echo: quiet(false)", ($) => $`echo a`.quiet().quiet(false)),
  echo("echo: large", async ($) => (await $`seq 2000`).stdout.length),
];
