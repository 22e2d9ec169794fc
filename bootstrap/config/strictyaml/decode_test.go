package strictyaml

import (
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"k8s.io/apimachinery/pkg/util/validation/field"
	"sigs.k8s.io/yaml"
)

// Inlined is inlined into sample.
type Inlined struct {
	Title string `json:"title,omitempty"`
}

// sample has a field of each supported type.
type sample struct {
	Inlined `json:",inline"`

	Name     string            `json:"name"`
	Machine  machine           `json:"machine"`
	Enabled  *bool             `json:"enabled,omitempty"`
	Hour     *hour             `json:"hour,omitempty"`
	Items    []item            `json:"items,omitempty"`
	Labels   map[string]string `json:"labels,omitempty"`
	Sources  []netip.Prefix    `json:"sources,omitempty"`
	Fraction float64           `json:"fraction,omitempty"`
}

type machine struct {
	Type       string     `json:"type,omitempty"`
	VolumeGB   int32      `json:"volumeGB,omitempty"`
	ServerList []string   `json:"serverList,omitempty"`
	Address    netip.Addr `json:"address,omitzero"`
}

type hour struct {
	Start int32 `json:"start"`
}

type item struct {
	Name  string   `json:"name"`
	Port  port     `json:"port"`
	Names []string `json:"names,omitempty"`
}

type port struct {
	Number int32 `json:"number"`
}

// minimal is the shortest valid file: three lines.
const minimal = `name: test
machine:
  type: SMALL
`

var decoder = Decoder{
	Moved:     map[string]string{"machine.kind": "it is now called type"},
	EmptyHint: "begin with name",
	Scalars: []Scalar{ScalarOf(func(text string) (netip.Prefix, error) {
		prefix, err := netip.ParsePrefix(text)
		if err != nil {
			return netip.Prefix{}, errors.New("must be a CIDR")
		}
		return prefix, nil
	})},
}

// problemsOf returns the lines of the error for a file, without the file's name.
func problemsOf(tb testing.TB, text string) []string {
	tb.Helper()
	return linesOf(tb, decoder.Decode([]byte(text), &sample{}))
}

func linesOf(tb testing.TB, document *Document) []string {
	tb.Helper()
	err := document.Err("sample.yaml")
	if err == nil {
		return nil
	}
	lines := strings.Split(err.Error(), "\n")
	for i, line := range lines {
		rest, ok := strings.CutPrefix(line, "sample.yaml:")
		if !ok {
			tb.Errorf("no file name in %q", line)
		}
		lines[i] = rest
	}
	return lines
}

func TestDecode(t *testing.T) {
	t.Parallel()
	const text = `title: all
name: &name test
machine: {type: SMALL, volumeGB: 20, serverList: [a, *name], address: 192.0.2.1}
enabled: false
hour: {start: 0}
items: [{name: *name, port: {number: 1}}]
labels: {a/b: c, "1": ""}
sources: [192.0.2.0/24]
`
	got := &sample{}
	if err := decoder.Decode([]byte(text), got).Err("sample.yaml"); err != nil {
		t.Fatal(err)
	}
	want := &sample{
		Inlined: Inlined{Title: "all"}, Name: "test",
		Machine: machine{Type: "SMALL", VolumeGB: 20, ServerList: []string{"a", "test"}, Address: netip.MustParseAddr("192.0.2.1")},
		Enabled: new(false), Hour: &hour{},
		Items:   []item{{Name: "test", Port: port{1}}},
		Labels:  map[string]string{"a/b": "c", "1": ""},
		Sources: []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24")},
	}
	if diff := cmp.Diff(want, got, compareAddresses()); diff != "" {
		t.Errorf("wrong (-want +got):\n%s", diff)
	}
}

func compareAddresses() cmp.Option { return cmpopts.EquateComparable(netip.Addr{}, netip.Prefix{}) }

func TestProblems(t *testing.T) {
	t.Parallel()
	const check = "; check indentation and quotes in this line and those around it"
	for name, test := range map[string]struct {
		text string
		want []string
	}{
		"minimal":               {minimal, nil},
		"begins with a comment": {"# a comment\n---\n" + minimal + "...\n", nil},
		"Windows line ends":     {strings.ReplaceAll(minimal, "\n", "\r\n"), nil},
		"as JSON":               {`{"name": "test", "machine": {"type": "SMALL"}}`, nil},
		"null is not set":       {minimal + "enabled:\nitems: null\nlabels:\n", nil},

		"empty":             {"", []string{"1: is empty: begin with name"}},
		"only comments":     {"\n# nothing\n\n", []string{"1: is empty: begin with name"}},
		"empty before":      {"---\n---\n" + minimal, []string{"2: a second document begins here: the file must contain only one; remove the line ---"}},
		"empty document":    {"---\n", []string{"1: is empty: begin with name"}},
		"too long":          {strings.Repeat("#", 1<<20+1), []string{"1: has more than 1048576 bytes: is it the right file?"}},
		"a list":            {"\n- a\n", []string{"2: must be a map of fields, is a list"}},
		"a string":          {"hello\n", []string{`1: must be a map of fields, is the string "hello"`}},
		"two documents":     {minimal + "---\na: 1\n", []string{"4: a second document begins here: the file must contain only one; remove the line ---"}},
		"no document after": {minimal + "---\n", []string{"4: a second document begins here: the file must contain only one; remove the line ---"}},
		"no UTF-8":          {"a: 1\nb: \xff\n", []string{"2: is not UTF-8: save the file as UTF-8"}},
		"control character": {"a: 1\n\nb: \x1b[0m\n", []string{"3: contains the control character U+001B: remove it"}},

		"tab":                 {"a:\n\tb: 1\n", []string{"2: is indented with a tab: use spaces"}},
		"tab after spaces":    {"a:\n  b: 1\n  \tc: 1\n", []string{"3: is indented with a tab: use spaces"}},
		"colon in a string":   {"a: b: c\n", []string{"1: is not YAML: mapping values are not allowed in this context" + check}},
		"colon further down":  {"z: 1\na: b: c\n", []string{"2: is not YAML: mapping values are not allowed in this context" + check}},
		"indented too little": {"a:\n  b: 1\n c: 2\n", []string{"3: is not YAML: did not find expected key" + check}},
		"indented too little in a list": {
			"z: 1\nitems:\n  - name: a\n    b: 1\n  - name: b\n   c: 2\nend: 1\n", []string{"6: is not YAML: did not find expected '-' indicator" + check},
		},
		"no item of the list":               {"z: 1\nitems:\n  - a\n  - b\n  c: 2\nend: 1\n", []string{"5: is not YAML: did not find expected '-' indicator" + check}},
		"brace too many":                    {"z: 1\na:\n  b: 1\n  c: {d: 1}}\nend: 1\n", []string{"4: is not YAML: did not find expected key" + check}},
		"bad block in a second document":    {minimal + "---\na:\n  b: 1\n c: 2\n", []string{"7: is not YAML: did not find expected key" + check}},
		"asterisk without quotes":           {"a: 1\nb:\n  - *.example.com\n", []string{"3: has a * or & at the beginning of a value, where they have a meaning in YAML: quote the value"}},
		"bracket left open":                 {"a: 1\nb: [1,2\nc: 3\n", []string{"2: is not YAML: did not find expected ',' or ']'" + check}},
		"brace left open":                   {"{", []string{"1: is not YAML: did not find expected node content" + check}},
		"quote left open":                   {"a: 1\nb: 'x\nc: 3\n", []string{"2: is not YAML: found unexpected end of stream" + check}},
		"bad second document":               {"a: 1\n...\nb: 2\n", []string{"3: is not YAML: did not find expected <document start>" + check}},
		"reserved character":                {"a: 1\nb: @x\n", []string{"2: is not YAML: found character that cannot start any token" + check}},
		"wrong escape":                      {"a: 1\nb: \"\\xZZ\"\nc: 3\n", []string{"2: is not YAML: did not find expected hexdecimal number" + check}},
		"text behind a bar":                 {"a: 1\nb: | x\nc: 3\n", []string{"2: is not YAML: did not find expected comment or line break" + check}},
		"tag of no one":                     {"a: 1\nb: !x!y z\nc: 3\n", []string{"2: is not YAML: found undefined tag handle" + check}},
		"directives twice":                  {"%YAML 1.1\n%YAML 1.1\n---\na: 1\n", []string{"2: is not YAML: found duplicate %YAML directive" + check}},
		"unknown alias that begins another": {"a: &xy 1\nb: *xy\nc: *x\n", []string{"3: *x refers to an unknown anchor: &x must come before it"}},
		"unknown alias":                     {"a: 1\nb: *x\n", []string{"2: *x refers to an unknown anchor: &x must come before it"}},

		"unknown field":               {minimal + "  tipe: SMALL\n", []string{`4: machine.tipe: unknown field; did you mean "type"?`}},
		"group without fields":        {minimal + "hour:\nlabels: {a: b}\n", []string{"4: hour: is empty: write its fields below it, or {} for the defaults, or remove it"}},
		"unknown field, far off":      {minimal + "colour: blue\n", []string{"4: colour: unknown field"}},
		"unknown field, short":        {minimal + "items: [{name: a, port: {number: 1}, xy: 1}]\n", []string{"4: items[0].xy: unknown field"}},
		"former field":                {minimal + "  kind: SMALL\n", []string{`4: machine.kind: unknown field: it is now called type`}},
		"field in other case":         {minimal + "  SERVERLIST: []\n", []string{`4: machine.SERVERLIST: unknown field; did you mean "serverList"?`}},
		"inlined type is not a field": {minimal + "Inlined: {}\n", []string{"4: Inlined: unknown field"}},
		"unprintable field":           {minimal + "\"a\\nb\\e\": 1\n", []string{`4: a\nb\x1b: unknown field`}},
		"unknown for a required":      {strings.Replace(minimal, "name:", "nam:", 1), []string{`1: nam: unknown field; did you mean "name"?`}},
		"repeated field":              {minimal + "name: other\n", []string{"4: name: is repeated; it is already in line 1: remove one"}},

		"missing field":            {"machine: {}\n", []string{"1: name: is required"}},
		"missing field in a list":  {minimal + "items:\n  - name: a\n    port: {number: 1}\n  - name: b\n", []string{"7: items[1].port: is required"}},
		"required, but null":       {strings.Replace(minimal, "name: test", "name:", 1), []string{"1: name: is required"}},
		"zero for the default":     {minimal + "  volumeGB: 0\n", []string{"4: machine.volumeGB: must not be 0, which would be read as not set: leave it out for the default"}},
		"zero where it means zero": {minimal + "hour: {start: 0}\n", nil},

		"string that is a number":  {strings.Replace(minimal, "test", "1.99", 1), []string{`1: name: must be a string, is 1.99: quote it, "1.99"`}},
		"string that is true":      {strings.Replace(minimal, "test", "true", 1), []string{`1: name: must be a string, is true: quote it, "true"`}},
		"string that is a date":    {strings.Replace(minimal, "test", "2026-01-02", 1), []string{`1: name: must be a string, is the date 2026-01-02: quote it, "2026-01-02"`}},
		"string that is a list":    {strings.Replace(minimal, "test", "[a]", 1), []string{"1: name: must be a string, is a list"}},
		"string that is yes":       {strings.Replace(minimal, "test", "yes", 1), nil},
		"yes for true":             {minimal + "enabled: yes\n", []string{`4: enabled: must be true or false, without quotes, is the string "yes"`}},
		"true in quotes":           {minimal + "enabled: 'true'\n", []string{`4: enabled: must be true or false, without quotes, is the string "true"`}},
		"map for true":             {minimal + "enabled: {}\n", []string{"4: enabled: must be true or false, without quotes, is a map"}},
		"string for a number":      {minimal + "  volumeGB: '20'\n", []string{`4: machine.volumeGB: must be an integer, without quotes, is the string "20"`}},
		"fraction":                 {minimal + "  volumeGB: 20.5\n", []string{"4: machine.volumeGB: must be an integer, without quotes, is 20.5"}},
		"octal":                    {minimal + "  volumeGB: 020\n", []string{"4: machine.volumeGB: must be a decimal integer, is 020"}},
		"hexadecimal":              {minimal + "  volumeGB: 0x20\n", []string{"4: machine.volumeGB: must be a decimal integer, is 0x20"}},
		"underscores":              {minimal + "  volumeGB: 2_0\n", []string{"4: machine.volumeGB: must be a decimal integer, is 2_0"}},
		"large":                    {minimal + "  volumeGB: 2147483648\n", []string{"4: machine.volumeGB: must be a smaller integer"}},
		"type without a YAML form": {minimal + "fraction: 1.5\n", []string{"4: fraction: cannot be decoded: the Go type float64 is not supported"}},
		"list for fields":          {"name: test\nmachine: []\n", []string{"2: machine: must be a map of fields, is a list"}},
		"string for a list":        {minimal + "items: a\n", []string{`4: items: must be a list, is the string "a"`}},
		"empty item":               {minimal + "items:\n  - {name: a, port: {number: 1}}\n  -\n", []string{"6: items[1]: is empty: remove it"}},
		"list for labels":          {minimal + "labels: [a]\n", []string{"4: labels: must be a map of names and values, is a list"}},
		"labels that are no strings": {
			minimal + "labels:\n  a/b.c: true\n  d:\n  1: x\n",
			[]string{`5: labels[a/b.c]: must be a string, is true: quote it, "true"`, `6: labels[d]: must be a string: write "" for an empty one`, `7: labels: has the key 1, which must be a string: quote it, "1"`},
		},
		"list for a key": {minimal + "? [a]\n: b\n", []string{"4: has a list as a key, which must be a string"}},
		"tag":            {minimal + "hour: !x {}\n", []string{"4: hour: has the tag !x, which is not supported: remove it, and quote strings"}},

		"wrong form of a scalar":  {minimal + "sources: [192.0.2.0/24, a, {}, 1]\n", []string{`4: sources[1]: Invalid value: "a": must be a CIDR`, "4: sources[2]: must be a string, is a map", `4: sources[3]: must be a string, is 1: quote it, "1"`}},
		"text that is not parsed": {minimal + "  address: \"a\\nb\"\n", []string{`4: machine.address: Invalid value: "a\nb": ParseAddr("a\nb"): unable to parse IP`}},

		"alias":      {minimal + "items:\n  - {name: &a a, port: {number: 1}, names: &n [x]}\n  - {name: *a, port: {number: 2}, names: *n}\n", nil},
		"merge key":  {minimal + "hour: &h {start: 1}\nlabels:\n  <<: *h\n", []string{"6: labels: merge keys (<<) are not supported: write the fields out"}},
		"alias loop": {minimal + "items: &a [*a]\n", []string{"4: items[0]: must be a map of fields, is a list"}},
		"aliases that multiply": {
			minimal + "items:\n  - &t {name: a, port: {number: 1}, names: &n [" + strings.Repeat("a,", 1000) + "]}\n" + strings.Repeat("  - *t\n", 200),
			[]string{"5: items[49].names[745]: is too much: the file contains more than 50000 values, counting each use of an alias"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if diff := cmp.Diff(test.want, problemsOf(t, test.text)); diff != "" {
				t.Errorf("wrong (-want +got):\n%s", diff)
			}
		})
	}
}

// A scalar that cannot be parsed leaves the form intact: the caller can go on
// checking. Any other problem may leave the target incomplete.
func TestMalformed(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]bool{
		minimal:                       false,
		minimal + "sources: [a]\n":    false,
		minimal + "  address: a\n":    false,
		minimal + "colour: blue\n":    true,
		minimal + "  volumeGB: '1'\n": true,
		minimal + "sources: [1]\n":    true,
		"":                            true,
		"{":                           true,
	} {
		if got := decoder.Decode([]byte(text), &sample{}).Malformed(); got != want {
			t.Errorf("%q: malformed is %t, want %t", text, got, want)
		}
	}
}

// Errors of a validation join those of decoding, ordered by line, unless they
// are consequences of these.
func TestAddInvalid(t *testing.T) {
	t.Parallel()
	const text = `name: test
machine:
  tipe: SMALL
  volumeGB: 5
items:
  - name: a
    port: 1
sources: [a, 192.0.2.0/24]
`
	document := decoder.Decode([]byte(text), &sample{})
	document.AddInvalid(field.ErrorList{
		field.Invalid(field.NewPath("sources").Index(0), "", "is the same field as the one that cannot be parsed"),
		field.Invalid(field.NewPath("sources").Index(1), "192.0.2.0/24", "must be private"),
		field.Required(field.NewPath("sources"), "contains the one that cannot be parsed"),
		field.Required(field.NewPath("machine", "type"), "is the probable target of tipe"),
		field.Invalid(field.NewPath("items").Index(0).Child("port", "number"), 0, "is below a field of the wrong form"),
		field.Invalid(field.NewPath("items").Index(0).Child("portal"), 0, "only begins with the same letters"),
		field.Invalid(field.NewPath("machine", "volumeGB"), 5, "must be at least 10"),
		field.Required(field.NewPath("hour"), "is missing"),
	})
	want := []string{
		"1: hour: Required value: is missing",
		`3: machine.tipe: unknown field; did you mean "type"?`,
		"4: machine.volumeGB: Invalid value: 5: must be at least 10",
		"6: items[0].portal: Invalid value: 0: only begins with the same letters",
		"7: items[0].port: must be a map of fields, is 1",
		`8: sources[0]: Invalid value: "a": must be a CIDR`,
		`8: sources[1]: Invalid value: "192.0.2.0/24": must be private`,
	}
	if diff := cmp.Diff(want, linesOf(t, document)); diff != "" {
		t.Errorf("wrong (-want +got):\n%s", diff)
	}

	// The field of the similar name is in the file: it was not meant.
	document = decoder.Decode([]byte(minimal+"  tipe: LARGE\n"), &sample{})
	document.AddInvalid(field.ErrorList{field.Invalid(field.NewPath("machine", "type"), "SMALL", "is sold out")})
	want = []string{`3: machine.type: Invalid value: "SMALL": is sold out`, `4: machine.tipe: unknown field; did you mean "type"?`}
	if diff := cmp.Diff(want, linesOf(t, document)); diff != "" {
		t.Errorf("wrong (-want +got):\n%s", diff)
	}
}

// Problems that only the caller can find stand beside the others. Of a file that
// could not be read, nothing more is known.
func TestAddProblem(t *testing.T) {
	t.Parallel()
	document := decoder.Decode([]byte(minimal), &sample{})
	document.AddProblem("machine.type", "is sold out")
	if diff := cmp.Diff([]string{"3: machine.type: is sold out"}, linesOf(t, document)); diff != "" || !document.Malformed() || !document.Wrong("machine.type") {
		t.Errorf("malformed %t, (-want +got):\n%s", document.Malformed(), diff)
	}
	unread := decoder.Decode([]byte("{"), &sample{})
	unread.AddProblem("name", "is required")
	unread.AddInvalid(field.ErrorList{field.Required(field.NewPath("name"), "")})
	if got := linesOf(t, unread); len(got) != 1 {
		t.Errorf("%q, want the syntax error only", got)
	}
}

func TestFields(t *testing.T) {
	t.Parallel()
	for text, want := range map[string][]string{
		minimal + "other: 1\n": {"name", "machine", "other"}, "": nil, "- a": nil, "{": nil,
	} {
		if diff := cmp.Diff(want, decoder.Decode([]byte(text), &sample{}).Fields()); diff != "" {
			t.Errorf("%q (-want +got):\n%s", text, diff)
		}
	}
}

// FuzzDecode looks for panics, for errors that are not one line per problem with
// a line of the file, and for files that decode differently a second time.
func FuzzDecode(f *testing.F) {
	f.Add([]byte(minimal))
	for _, text := range []string{
		"", "---\n", "- a", "{", "a: &a [*a]", "a: &a {<<: *a}", "? {a: b}\n: c", "\t", "a: !!binary x", "a: 1\n---\nb", "%YAML 1.2\n---\n",
		minimal + "items: [{name: 1.99, port: {number: 010}}]\nlabels: {a: b}\nenabled: yes\n",
		minimal + "  address: 192.0.2.1\nsources: [10.0.0.0/8, '::/0', fe80::1%eth0/64]\n",
		minimal + "\"a\\nb\": |\n  text\n",
	} {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		got := &sample{}
		if err := decoder.Decode(data, got).Err("sample.yaml"); err != nil {
			checkError(t, err, data)
			return
		}
		again, err := yaml.Marshal(got)
		if err != nil {
			t.Fatal(err)
		}
		same := &sample{}
		if err := decoder.Decode(again, same).Err("sample.yaml"); err != nil {
			t.Fatalf("cannot be decoded again: %v\n%s", err, again)
		}
		if diff := cmp.Diff(got, same, compareAddresses(), cmpopts.EquateEmpty()); diff != "" {
			t.Errorf("differs when decoded again:\n%s", diff)
		}
	})
}

func checkError(tb testing.TB, err error, data []byte) {
	tb.Helper()
	var all *Error
	if !errors.As(err, &all) || len(all.Problems) == 0 {
		tb.Fatalf("no problems in %#v", err)
	}
	if lines := strings.Count(err.Error(), "\n") + 1; lines != len(all.Problems) {
		tb.Errorf("%d lines for %d problems:\n%s", lines, len(all.Problems), err)
	}
	last := 1
	for _, problem := range all.Problems {
		// NEL, CR and two more characters separate lines of YAML, too.
		if most := 2 + strings.Count(string(data), "\n") + strings.Count(string(data), "\r") + strings.Count(string(data), "\u0085") +
			strings.Count(string(data), "\u2028") + strings.Count(string(data), "\u2029"); problem.Line < last || problem.Line > most {
			tb.Errorf("line %d after line %d in a file of %d: %v", problem.Line, last, most, problem)
		}
		last = problem.Line
		if problem.Detail == "" {
			tb.Error(fmt.Errorf("no detail in %+v", problem))
		}
	}
}
