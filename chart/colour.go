package chart

import (
	"regexp"

	"github.com/fairwaycd/fairway"
)

var (
	stateful = regexp.MustCompile(`(?m)^\s*(- )?kind:\s*["']?(PersistentVolumeClaim|StatefulSet)\b|^\s*(volumeClaimTemplates|- ?persistentVolumeClaim|persistentVolumeClaim):`)
	oldAPI   = regexp.MustCompile(`(?m)^apiVersion:\s*["']?(extensions/v1beta1|apps/v1beta[12])\b`)
	// reference finds KEY: NAME where it names an object, alone in its line or
	// in {a flow mapping}.
	reference = regexp.MustCompile(`(?m)((?:^|[\s{,])["']?(?:name|deployment|claimName)["']?:[ \t]+["']?)([a-z0-9][a-z0-9.-]*)(["']?[ \t]*(?:$|[,}\r]|[ \t]#))`)
	claimName = regexp.MustCompile(`["']?claimName["']?:[ \t]+["']?([a-z0-9][a-z0-9.-]*)`)
	valuesKey = regexp.MustCompile(`(\.Values\.)([A-Za-z_][A-Za-z0-9_]*)|(\.Values\s+")([^"]*)(")`)
)

// colourCopy returns the Deployment template for one colour: what is named
// like the service gets the colour's suffix, the service's volume claims get
// the colour between its name and theirs (orders-db-data becomes
// orders-db-blue-data), and .Values.KEY becomes the colour's. Longer names,
// such as those of another service, stay.
func colourCopy(text []byte, s fairway.ServiceName, c fairway.Colour, owners Owners) []byte {
	if c == fairway.Single {
		return text
	}
	workload := fairway.Place{Service: s, Colour: c}.Workload()
	rename := map[string]string{string(s): workload}
	for _, m := range claimName.FindAllSubmatch(text, -1) {
		claim := string(m[1])
		if owner, ok := owners.Name(claim); ok && owner == s && len(claim) > len(s) && claim[:len(s)] == string(s) {
			rename[claim] = workload + claim[len(s):]
		}
	}
	text = reference.ReplaceAllFunc(text, func(match []byte) []byte {
		m := reference.FindSubmatch(match)
		if to, ok := rename[string(m[2])]; ok {
			return []byte(string(m[1]) + to + string(m[3]))
		}
		return match
	})
	return valuesKey.ReplaceAllFunc(text, func(match []byte) []byte {
		m := valuesKey.FindSubmatch(match)
		switch Key(s) {
		case string(m[2]):
			return []byte(string(m[1]) + ColourKey(s, c))
		case string(m[4]):
			return []byte(string(m[3]) + ColourKey(s, c) + string(m[5]))
		}
		return match
	})
}

// namesWorkload reports whether the coloured template names an object after
// the colour, in plain or through the colour's values.
func namesWorkload(text []byte, s fairway.ServiceName, c fairway.Colour) bool {
	workload := regexp.QuoteMeta(fairway.Place{Service: s, Colour: c}.Workload())
	values := regexp.QuoteMeta(".Values." + ColourKey(s, c) + ".service.name")
	return regexp.MustCompile(`(?m)^[ \t]+name:[ \t]+["']?(` + workload + `\b|.*` + values + `)`).Match(text)
}

// labelled reports whether the template has the label that tells colours apart.
func labelled(text []byte, s fairway.ServiceName) bool {
	return regexp.MustCompile(`(?m)\bdeployment["']?:[ \t]+["']?(` + regexp.QuoteMeta(string(s)) + `\b|\{\{)`).Match(text)
}
