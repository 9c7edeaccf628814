// Package simulator plays a Dynatrace environment for tests: entities with
// tags, and the read side of the Timeseries API v1 and the Metrics API v2. It
// refuses what the published API refuses.
//
//	behaviour                                                    said by
//	v1 POST answers {"result": {dataPoints, unit, …}}, GET       reference "Timeseries API v1, POST data points", "GET data points"
//	  without data the metric's description
//	v1 needs a token of scope DataExport, v2 metrics.read        the same; "Metrics API v2, GET metric data points"
//	v1: timeframe and aggregation have to be there; a metric     "POST data points": parameters, aggregationType,
//	  that lacks the aggregation is refused; ≤ 6 months            "the maximum allowed timeframe is 6 months"
//	v1 names a span by its start, v2 by its end                  "POST data points": first timestamp may be earlier than
//	                                                               startTimestamp; "Metrics API, FAQ": end times of time slots
//	finest span one minute; a window takes whole spans           "Metrics API, FAQ": the finest granularity is one minute
//	v2: at most 10 metrics; unknown transformation 400           "Metrics API, metric selector": limitations
//	entity selector: type or entityId, ≤ 2000 characters,        "Environment API v2, entity selector"
//	  all criteria hold
//	nextPageKey stands alone                                     "when the nextPageKey is set, you must omit all other query parameters"
//	401 no or wrong token, 404 unknown, 400 with a body that     "Dynatrace API, response codes"
//	  says why, 429 when there are too many
//	403 for a token without the scope                            seen in error texts of clients; the reference allows 401 too
//	Retry-After beside 429                                       not published; proxies before an environment send it
package simulator
