package jsonobject_test

import (
	"strings"
	"testing"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	"github.com/google/go-cmp/cmp"

	"egress.scw/webhook/internal/jsonobject"
)

type object struct {
	Name   string
	Flag   bool
	Labels labels
	Child  *object
	List   list
}

// labels keeps the keys a and b.
type labels map[string]string

func (l *labels) UnmarshalJSONFrom(d *jsontext.Decoder) error {
	return jsonobject.ReadKnown(d, (*map[string]string)(l), func(key []byte) string {
		if string(key) == "a" || string(key) == "b" {
			return string(key)
		}
		return ""
	})
}

type list []object

func (l *list) UnmarshalJSONFrom(d *jsontext.Decoder) error {
	if d.PeekKind() == '[' {
		*l = list{}
	}
	return jsonobject.Elements(d, func() error {
		var o object
		err := o.UnmarshalJSONFrom(d)
		*l = append(*l, o)
		return err
	})
}

func (o *object) UnmarshalJSONFrom(d *jsontext.Decoder) error {
	return jsonobject.Read(d,
		jsonobject.Field{Name: "name", Into: &o.Name},
		jsonobject.Field{Name: "flag", Into: &o.Flag},
		jsonobject.Field{Name: "labels", Into: &o.Labels},
		jsonobject.Field{Name: "child", Into: &o.Child},
		jsonobject.Field{Name: "list", Into: &o.List})
}

func decode(text string) (object, error) {
	var o object
	err := json.Unmarshal([]byte(text), &o, jsontext.AllowDuplicateNames(true), jsontext.AllowInvalidUTF8(true))
	return o, err
}

func TestRead(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]object{
		`null`: {},
		`{}`:   {},
		"\n" + `{ "name" : "a" , "flag" : true }`:            {Name: "a", Flag: true},
		`{"Name":"a","NAME":"b"}`:                            {},
		`{"n\u0061me":"\u00fc\n"}`:                           {Name: "ü\n"},
		`{"name":null,"flag":null}`:                          {},
		`{"name":"` + "\xff" + `"}`:                          {Name: "\ufffd"},
		`{"labels":null,"list":null}`:                        {},
		`{"labels":{},"list":[]}`:                            {Labels: labels{}, List: list{}},
		`{"labels":{"a":"1","b":null}}`:                      {Labels: labels{"a": "1", "b": ""}},
		`{"labels":{"c":"1","c":"2","\u0061":"3","d":null}}`: {Labels: labels{"a": "3"}},
		`{"child":null}`:                                     {},
		`{"child":{}}`:                                       {Child: &object{}},
		`{"child":{"name":"a"},"name":"b"}`:                  {Name: "b", Child: &object{Name: "a"}},
		`{"list":[null,{"name":"a"},{}]}`:                    {List: list{{}, {Name: "a"}, {}}},
		`{"other":{"a":1,"a":[1,{}]},"x":1e9}`:               {}, // duplicates in fields that are not read
	} {
		got, err := decode(text)
		if err != nil {
			t.Errorf("%s: %v", text, err)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", text, diff)
		}
	}
}

func TestReadRefuses(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		``:                               "EOF",
		`{"name":"a"`:                    "EOF",
		`{"name":"a",}`:                  "invalid character ','",
		`{"name" "a"}`:                   "invalid character",
		`{"other":[}`:                    "invalid character '}'",
		`{} {}`:                          "after top-level value",
		`[]`:                             "JSON array",
		`{"name":7}`:                     `JSON number into Go string within "/name"`,
		`{"labels":[]}`:                  `JSON array`,
		`{"labels":{"a":{}}}`:            `JSON object into Go string within "/labels/a"`,
		`{"list":{}}`:                    `within "/list"`,
		`{"name":"a","name":"b"}`:        `duplicate object member name "name"`,
		`{"name":null,"n\u0061me":null}`: `duplicate object member name "name"`,
		`{"labels":{"c":7}}`:             `JSON number into Go string within "/labels/c"`,
		`{"list":[{}`:                    "EOF",
		`{"list":[{},]}`:                 "invalid character ','",
		`{"labels":{"a":"","a":""}}`:     `duplicate object member name "a" within "/labels"`,
		`{"list":[{},{"flag":true,"flag":true}]}`: `duplicate object member name "flag" within "/list/1"`,
	} {
		if _, err := decode(text); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: error is %v, want %q in it", text, err, want)
		}
	}
}
