// The OpenAPI description as a page, without anything fetched from outside.

const add = (parent, tag, text) => {
  const made = Object.assign(document.createElement(tag), { textContent: text ?? "" });
  parent.append(made);
  return made;
};
const description = await (await fetch("openapi.json")).json();
const routes = document.getElementById("routes");
for (const [path, methods] of Object.entries(description.paths)) {
  for (const [method, route] of Object.entries(methods)) {
    const details = add(routes, "details");
    add(details, "summary", `${method.toUpperCase()} ${path} — ${route.summary}`);
    add(details, "p", route.description);
    for (const parameter of route.parameters ?? []) add(details, "p", `${parameter.in} ${parameter.name}: ${parameter.description ?? ""}`);
    if (route.requestBody) add(details, "pre", JSON.stringify(route.requestBody.content, null, 2));
  }
}
