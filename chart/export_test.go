package chart

// Public returns the values without the document that they came from, so that
// they can be compared.
func Public(v Values) Values {
	v.root = nil
	return v
}
