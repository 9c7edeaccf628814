package controller

// KeepWhole changes how many ended deliveries are kept with their stages.
func (v *View) KeepWhole(n int) { v.keepWhole = n }
