package main

import (
	"html"
	"io"
	"net/http"
	"regexp"
	"strings"
	"time"
	"unicode/utf8"
)

// denial is the refusal of a request of this pod, as the proxy's answer states it.
// The demo knows only its own requests: those of other pods are in the proxy's audit
// log.
type denial struct {
	// Target is the host and port of a tunnel, or the URL of a request by plain
	// HTTP.
	Target string `json:"target"`

	// Status is the HTTP status of the refusal, 403 in general.
	Status int `json:"status"`

	// Statement is the first paragraph of the proxy's page as plain text, at
	// most maxStatement bytes; empty if the answer has no text.
	Statement string `json:"statement"`

	// Rule is the rule that the statement names, or empty.
	Rule string `json:"rule"`
}

const (
	// maxStatement bounds the text of a denial, in bytes.
	maxStatement = 400

	// statementTimeout bounds the time for which the page of a refused tunnel
	// is read.
	statementTimeout = time.Second

	// headerSquidError is the header of the pages that Squid itself writes.
	headerSquidError = "X-Squid-Error"
)

var (
	paragraph = regexp.MustCompile(`(?is)<p(?:\s[^>]*)?>(.*?)</p>`)
	invisible = regexp.MustCompile(`(?is)<(?:head|title|style|script)\b.*?</(?:head|title|style|script)>`)
	tag       = regexp.MustCompile(`<[^>]*>`)
	rule      = regexp.MustCompile(`\bthe rule "([\w-]{1,40})"`)
)

// newDenial reads a proxy's page.
func newDenial(target string, status int, page string) *denial {
	d := &denial{Target: target, Status: status, Statement: statement(page)}
	if match := rule.FindStringSubmatch(d.Statement); match != nil {
		d.Rule = match[1]
	}
	return d
}

// statement is the first paragraph of a page as plain text, or all its text if it has
// no paragraph.
func statement(page string) string {
	text := invisible.ReplaceAllString(page, " ")
	if match := paragraph.FindStringSubmatch(text); match != nil {
		text = match[1]
	}
	text = html.UnescapeString(tag.ReplaceAllString(text, " "))
	text = strings.Join(strings.Fields(strings.ToValidUTF8(text, "\uFFFD")), " ")
	if len(text) <= maxStatement {
		return text
	}
	end := maxStatement - len("…")
	for !utf8.RuneStart(text[end]) {
		end--
	}
	return text[:end] + "…"
}

// isRefusal reports whether an answer to a request by plain HTTP is the proxy's own
// refusal: an origin may answer 403 too.
func isRefusal(res *http.Response) bool {
	return res.StatusCode == http.StatusForbidden && res.Header.Get(headerSquidError) != ""
}

// readPage reads the beginning of a proxy's page. It gives up after statementTimeout:
// the transport closes the connection then, which ends the read.
func readPage(body io.Reader) string {
	read := make(chan string, 1)
	go func() {
		page, _ := io.ReadAll(io.LimitReader(body, maxBody)) // a part is as good
		read <- string(page)
	}()
	select {
	case page := <-read:
		return page
	case <-time.After(statementTimeout):
		return ""
	}
}
