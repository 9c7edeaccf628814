package helm

import (
	"regexp"
	"strconv"
	"strings"

	"github.com/fairwaycd/fairway"
)

// location finds CHART/templates/FILE:LINE:COLUMN in the engine's errors.
var location = regexp.MustCompile(`([A-Za-z0-9._/-]*templates/[^\s:()]+):(\d+)(?::(\d+))?\)?:? ?`)

// source is where a chart's templates come from.
type source struct {
	chart string // its name
	dir   string // in the branch
}

// inBranch returns the path in the branch for the engine's name of a template.
func (s source) inBranch(template string) string {
	return s.dir + "/" + strings.TrimPrefix(template, s.chart+"/")
}

// templateError says where in the branch the engine's error arose: at the
// innermost place, when one template calls another. cause, when not nil, is
// why the rendering was stopped there.
func templateError(src source, err, cause error) error {
	text := err.Error()
	p := fairway.Problem{Message: text, Remedy: "correct the template or the values that it reads"}
	all := location.FindAllStringSubmatchIndex(text, -1)
	if len(all) > 0 {
		m := all[len(all)-1]
		p.File = src.inBranch(text[m[2]:m[3]])
		p.Line, _ = strconv.Atoi(text[m[4]:m[5]])                                      // digits, by the pattern
		for i := len(all) - 1; i >= 0 && (p.Message == text || p.Message == ""); i-- { // a message may end in a location
			p.Message = strings.TrimSpace(text[all[i][1]:])
		}
	}
	p.Message = strings.NewReplacer(meterCall, "", src.chart+"/templates/", src.dir+"/templates/").Replace(p.Message)
	if cause == nil {
		p.Message = "cannot be rendered: " + p.Message
		return fairway.InvalidAll([]fairway.Problem{p})
	}
	p.Message = "was interrupted"
	p.Remedy = ""
	return &fairway.Error{Kind: fairway.KindOf(cause), Problems: []fairway.Problem{p}, Cause: cause}
}
