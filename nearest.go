package fairway

import (
	"strconv"
	"strings"
)

// separators are what people write differently between the parts of a word.
var separators = strings.NewReplacer("_", "", "-", "", " ", "", ".", "")

func letters(s string) string { return separators.Replace(strings.ToLower(s)) }

// Nearest returns the known word that was probably meant, or nothing: the same
// letters in another spelling, or at most two letters changed.
func Nearest(word string, known []string) string {
	if len(word) > 64 {
		return ""
	}
	best, least := "", 3
	for _, k := range known {
		d := distance(letters(word), letters(k))
		if d < least && d*2 < len(k) {
			best, least = k, d
		}
	}
	return best
}

// distance is the number of letters to insert, remove or replace.
func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			next := diagonal
			if a[i] != b[j] {
				next = 1 + min(diagonal, row[j], row[j+1])
			}
			diagonal, row[j+1] = row[j+1], next
		}
	}
	return row[len(b)]
}

// namesShown is how many names a refusal lists.
const namesShown = 20

// Instead says what a person may have meant by a name that there is not: the
// nearest one, and after verb those that there are.
func Instead[T ~string](name T, verb string, there []T) string {
	if len(there) == 0 {
		return verb + " none"
	}
	names := make([]string, len(there))
	for i, n := range there {
		names[i] = string(n)
	}
	text := ""
	if near := Nearest(string(name), names); near != "" {
		text = "did you mean " + near + "? "
	}
	if more := len(names) - namesShown; more > 0 {
		return text + verb + ": " + strings.Join(names[:namesShown], ", ") + " and " + strconv.Itoa(more) + " more"
	}
	return text + verb + ": " + strings.Join(names, ", ")
}
