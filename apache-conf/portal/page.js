/* Licensed under the Apache License, Version 2.0; see LICENSE. */

/* What the page's parts share. Whatever comes from the API becomes text, never HTML. */

export const at = id => document.getElementById(id);

/* Shows a text or a Problem; null: nothing. */
export function say(place, what) {
    const bad = what instanceof Error;

    place.hidden = !what;
    place.classList.toggle('bad', bad);
    place.textContent = bad ? what.message : what ?? '';
    if (bad && what.request) {
        const small = document.createElement('small');
        small.textContent = `Request ${what.request}`;
        place.append(small);
    }
}

/* The addresses of a tunnel: links where a browser can go there. */
export function fillRoutes(list, routes) {
    list.replaceChildren(...routes.map(route => {
        const item = document.createElement('li'), service = document.createElement('small');

        service.textContent = route.service;
        if (/^https:\/\//.test(route.url)) {
            const link = document.createElement('a');
            link.href = route.url;
            link.textContent = new URL(route.url).host;
            link.target = '_blank';
            link.rel = 'noopener noreferrer';
            item.append(link);
        } else {
            item.append(route.name);
        }
        item.append(service);
        return item;
    }));
}
