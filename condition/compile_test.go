package condition

import (
	"strings"
	"testing"

	"github.com/gatehouse/gatehouse"
)

// TestErrors shows what people are told.
func TestErrors(t *testing.T) {
	t.Parallel()
	fields := "; msg has id, type, subject, source, contentType, schema, to, key, group, correlationId, replyTo, time, enqueued, ttl, notBefore, hops, attributes, body, size, json; endpoint has name, labels; channel has name"
	for _, test := range []struct{ text, want string }{
		{"", "the expression is empty"},
		{" \n", "the expression is empty"},
		{`msg.tipe == "x"`, "1:5: undefined field 'tipe'" + fields + "\n  msg.tipe == \"x\"\n      ^"},
		{"msg.type == \"é\" &&\n\tmsg.nothing == 1", "2:6: undefined field 'nothing'" + fields + "\n   msg.nothing == 1\n       ^"},
		{`mgs.type == "x"`, "1:1: undeclared reference to 'mgs' (did you mean 'msg'?)\n  mgs.type == \"x\"\n  ^"},
		{`order == msg.type`, "1:1: undeclared reference to 'order'; there are msg, endpoint, channel and now, and text is written in quotes\n  order == msg.type\n  ^"},
		{`msg.type == `, "1:13: Syntax error: mismatched input '<EOF>'\n  msg.type == \n              ^"},
		{`msg.size < "a"`, "1:10: found no matching overload for '<' applied to '(int, string)'\n  msg.size < \"a\"\n           ^"},
		{`msg["id"] == "a"`, "1:4: found no matching overload for '[_]' applied to '(gatehouse.Message, string)'\n  msg[\"id\"] == \"a\"\n     ^"},
		{`-msg.type == 1`, "1:1: found no matching overload for '-' applied to '(string)'\n  -msg.type == 1\n  ^"},
		{`msg.type`, "1:1: a condition must be true or false, and this is of type string\n  msg.type\n  ^"},
		{`msg.attributes.x`, "1:1: a condition must be true or false, and the type of this is known only when it runs; compare it, as in … == true or … == \"…\"\n  msg.attributes.x\n  ^"},
		{`gatehouse.Message{id: "a"} == msg`, "1:18: objects cannot be made here, only lists […] and maps {…}\n  gatehouse.Message{id: \"a\"} == msg\n                   ^"},
		{`msg.subject.matches(msg.key)`, "1:20: the pattern of matches must be written here, in quotes\n  msg.subject.matches(msg.key)\n                     ^"},
		{`msg.subject.matches("(")`, "1:21: the pattern of matches is not a valid regular expression, or too large a one\n  msg.subject.matches(\"(\")\n                      ^"},
		{`msg.subject.matches("(a{100}){100}")`, "1:21: the pattern of matches is not a valid regular expression, or too large a one\n  msg.subject.matches(\"(a{100}){100}\")\n                      ^"},
		{`msg.key.replace("", msg.key) == ""`, "1:16: the function replace is not available\n  msg.key.replace(\"\", msg.key) == \"\"\n                 ^"},
		{`msg.to.join(msg.key) == ""`, "1:12: the function join is not available\n  msg.to.join(msg.key) == \"\"\n             ^"},
		{`"%d".format([1]) == ""`, "1:12: the function format is not available\n  \"%d\".format([1]) == \"\"\n             ^"},
		{`timestamp("today") < now`, "1:11: invalid timestamp argument\n  timestamp(\"today\") < now\n            ^"},
		{`msg.json.a.exists(x, x.b.exists(y, y.c.exists(z, z == 1)))`, "the cost of the expression is estimated as up to 6070704; it may be at most 200000. Use fewer loops within each other, or look at less than the whole body"},
	} {
		c, err := Compile(test.text)
		if err == nil {
			t.Errorf("%s: it compiles: %v", test.text, c)
			continue
		}
		if err.Error() != test.want || gatehouse.KindOf(err) != gatehouse.Invalid {
			t.Errorf("%s: got %v error\n%s\nwant\n%s", test.text, gatehouse.KindOf(err), err, test.want)
		}
	}
}

func TestAddressErrors(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		`msg.size`:          "1:1: addresses must be a string or a list of strings, and this is of type int\n  msg.size\n  ^",
		`msg.attributes.to`: "1:1: addresses must be a string or a list of strings, and the type of this is known only when it runs; convert it, as in string(…)\n  msg.attributes.to\n  ^",
		`[1, 2]`:            "1:1: addresses must be a string or a list of strings, and this is of type list(int)\n  [1, 2]\n  ^",
	} {
		if _, err := CompileAddresses(text); err == nil || err.Error() != want {
			t.Errorf("%s: got %v\nwant %s", text, err, want)
		}
	}
}

// TestLimits is about expressions that are too much in one way or another.
func TestLimits(t *testing.T) {
	t.Parallel()
	for name, text := range map[string]string{
		"text":    `msg.id == "` + strings.Repeat("a", MaxText) + `"`,
		"nesting": strings.Repeat("(", 500) + "true" + strings.Repeat(")", 500),
		"lists":   strings.Repeat("[", 500) + strings.Repeat("]", 500) + " == []",
		"loops":   `[1,2,3,4,5,6,7,8,9,10].all(a, [1,2,3,4,5,6,7,8,9,10].all(b, [1,2,3,4,5,6,7,8,9,10].all(c, [1,2,3,4,5,6,7,8,9,10].all(d, [1,2,3,4,5,6,7,8,9,10].all(e, a+b+c+d+e > 0)))))`,
		"errors":  strings.Repeat("a b ", 900),
	} {
		_, err := Compile(text)
		if err == nil || gatehouse.KindOf(err) != gatehouse.Invalid || len(err.Error()) > 1000 {
			t.Errorf("%s: got %v", name, err)
		}
	}
	if _, err := Compile(`msg.id == "` + strings.Repeat("a", MaxText-12) + `"`); err != nil {
		t.Errorf("the longest text: %v", err)
	}
}

// TestOdd is about expressions that are strange but within the limits.
func TestOdd(t *testing.T) {
	t.Parallel()
	for _, text := range []string{
		strings.Repeat("-", 1000) + "1 == 1",
		strings.Repeat("!", 2000) + "true",
		strings.Repeat("[1].exists(x, ", 40) + "true" + strings.Repeat(")", 40),
	} {
		c, err := Compile(text)
		if err != nil {
			t.Errorf("%.40s: %v", text, err)
			continue
		}
		if is, err := c.Eval(vars(full())); !is || err != nil {
			t.Errorf("%.40s: got %v, %v", text, is, err)
		}
	}
}

// TestPointer is about long lines, of which the part at fault is shown.
func TestPointer(t *testing.T) {
	t.Parallel()
	text := strings.Repeat(`msg.id != "ø" && `, 40) + `msg.nope == 1 && ` + strings.Repeat(`msg.id != "ø" && `, 40) + "true"
	_, err := Compile(text)
	if err == nil {
		t.Fatal("it compiles")
	}
	lines := strings.Split(err.Error(), "\n")
	if len(lines) != 3 {
		t.Fatalf("got %d lines:\n%s", len(lines), err)
	}
	line, column := []rune(lines[1]), strings.Index(lines[2], "^")
	if len(line) > maxLine+2 || !strings.HasPrefix(string(line[column:]), "nope") {
		t.Errorf("got\n%s", err)
	}
}
