// Licensed under the Apache License, Version 2.0; see LICENSE.
// A file server with resumable uploads: tus_device.js PORT DIRECTORY MODULES. / is a page with
// tus's own client, /files/ the server.
const [port, directory, modules] = process.argv.slice(2);
const fs = require("fs");
const load = name => import(`${modules}/${name}/dist/index.js`);

Promise.all([load("@tus/server"), load("@tus/file-store")]).then(([{Server}, {FileStore}]) => {
    const uploads = new Server({path: "/files", datastore: new FileStore({directory})});
    const client = fs.readFileSync(`${modules}/tus-js-client/dist/tus.min.js`);
    require("http").createServer((request, answer) => {
        if (request.url.startsWith("/files")) return uploads.handle(request, answer);
        if (request.url === "/tus.js") return answer.end(client);
        answer.setHeader("Content-Type", "text/html");
        answer.end("<h1>uploads</h1><script src=tus.js></script>");
    }).listen(+port, "127.0.0.1");
});
