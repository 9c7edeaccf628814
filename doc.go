// Package fairway is the vocabulary of Fairway, a continuous-delivery control
// plane: the nouns that every other package speaks in, their validation, and
// the small interfaces between engines and the world. It imports the standard
// library only.
//
// The nouns:
//
//   - Project: a name, a [Shipyard], services, and one git repository.
//   - Shipyard: the registry path and the ordered stages.
//   - Stage: name, namespace, strategies, gate and approval.
//   - Service: what is delivered: a chart, tests, objectives.
//   - Artifact: image and tag, resolved to a digest once known.
//   - Delivery: one artifact of one service on its way through the stages.
//   - Step: one cursor position of a delivery within a stage.
//   - Event: a CloudEvent; the facts that a delivery causes.
//   - Evaluation: the verdict of a quality gate, with its reasons.
//   - Colour: blue or green, the two places a version can live in a stage.
//   - Place: a colour of a service in a namespace.
//   - Route: the weights by which a service's traffic is split.
//
// One delivery, from push to traffic:
//
//	image push ─► registry ─┐
//	CLI, CI, CloudEvent ────┴► new-artifact ─► queue of (project, stage, service)
//	   configure ─► deploy ─► test ─► evaluate ─► approve ─► release ─► next stage … finished
//	        └──────────┴────────┴────────┴──────────┴─► roll back, with a reason
package fairway
