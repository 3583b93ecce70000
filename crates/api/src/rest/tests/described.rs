//! What the OpenAPI document says of requests is what the handlers take.

use super::*;

/// What is known, as the problem of something unknown says.
fn known(problem: &Value) -> BTreeSet<String> {
    let choices = problem["choices"].as_array().into_iter().flatten();
    choices
        .map(|choice| choice.as_str().unwrap().to_owned())
        .collect()
}

#[tokio::test]
async fn the_document_names_the_parameters_and_fields_that_are_taken() {
    let server = Server::start();
    let document: Value = serde_json::from_str(crate::openapi()).unwrap();
    let (mut queries, mut bodies) = (0, 0);
    for (path, item) in document["paths"].as_object().unwrap() {
        let asked = path.replace("{symbol}", "NIFTY").replace(['{', '}'], "");
        let parameters = item["get"]["parameters"].as_array().into_iter().flatten();
        let described: BTreeSet<String> = parameters
            .filter(|parameter| parameter["in"] == "query")
            .map(|parameter| parameter["name"].as_str().unwrap().to_owned())
            .collect();
        if !described.is_empty() {
            queries += 1;
            let (status, problem) = server.get(&format!("{asked}?nonsense=1")).await;
            assert_eq!(status, StatusCode::BAD_REQUEST, "{path}");
            assert_eq!(problem["code"], "unknown_field", "{path}");
            assert_eq!(known(&problem), described, "{path}");
        }
        if item["post"].is_object() {
            bodies += 1;
            let schema = &item["post"]["requestBody"]["content"]["application/json"]["schema"];
            let described: BTreeSet<String> = match schema["$ref"].as_str() {
                Some(to) => {
                    let schema = document.pointer(to.strip_prefix('#').unwrap()).unwrap();
                    assert_eq!(schema["additionalProperties"], false, "{path}");
                    schema["properties"]
                        .as_object()
                        .unwrap()
                        .keys()
                        .cloned()
                        .collect()
                }
                None => BTreeSet::new(),
            };
            let (status, problem) = server.post(&asked, json!({"nonsense": 1})).await;
            assert_eq!(status, StatusCode::BAD_REQUEST, "{path}: {problem}");
            assert_eq!(problem["code"], "unknown_field", "{path}");
            assert_eq!(known(&problem), described, "{path}");
        }
    }
    assert!(queries >= 6 && bodies >= 10, "{queries} {bodies}");
    server.stop().await;
}
