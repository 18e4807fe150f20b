// SPDX-FileCopyrightText: 2026 The vos_ros authors
// SPDX-License-Identifier: Apache-2.0
'use strict';
// Stamps are text here, always: int64 nanoseconds do not fit into a number of JavaScript.

const $ = (id) => document.getElementById(id);
// Okabe and Ito's colours without black: told apart by colour-blind people, too.
const COLOURS = [[230, 159, 0], [86, 180, 233], [0, 158, 115], [240, 228, 66], [0, 114, 178],
  [213, 94, 0], [204, 121, 167]];
const colourOf = (id) => COLOURS[(id - 1) % COLOURS.length];
const css = (id) => `rgb(${colourOf(id).join(',')})`;
const HISTORY = 90, UNDO = 30;
const FIRST = 'first frame';   // the state of a clip that can be painted on
const LEAST_BOX = 4;   // px of the camera

const view = $('view'), ink = view.getContext('2d');
let socket, requests = 0, pending = new Map();
let picture = null;    // the newest one
let frozen = null;     // the one that is painted on
let mask = null;       // Uint8Array of ids, of the camera's size
let draft = document.createElement('canvas');
let marks = null;      // strokes of Find: 1 on the object, 2 beside it; of one object at a time
let before = null;     // the mask without what they found
let boxed = null;      // the box that they correct, its object and the mask without that
let owner = 0, finding = null, isStale = false;
let undo = [], tool = 'brush', stroke = null, cursor = null, isBusy = false;
let status = {}, names = {}, history = new Map(), camera = '', arrivals = [];
let typed = {};        // names that are not sent yet
let isNew = true;      // nothing is known of this camera's objects yet
let seen = {rejected: null, notice: null};

// Talking to the server

function connect() {
  socket = new WebSocket(`${location.protocol === 'https:' ? 'wss' : 'ws'}://${location.host}/ws`);
  socket.binaryType = 'arraybuffer';
  socket.onopen = () => { if (camera) watch(camera); };
  socket.onmessage = (event) =>
    typeof event.data === 'string' ? onText(JSON.parse(event.data)) : onPicture(event.data);
  socket.onclose = () => {
    for (const [, done] of pending) done({ok: false, text: 'the connection is lost'});
    pending.clear();
    status = {...status, notices: [{level: 'error', text: 'no connection to the page\'s server; trying again'}]};
    showStatus();
    setTimeout(connect, 1000);
  };
}

function send(values) {
  if (socket.readyState === WebSocket.OPEN) socket.send(JSON.stringify(values));
}

function ask(values) {
  return new Promise((done) => {
    const request = ++requests;
    if (socket.readyState !== WebSocket.OPEN) { done({ok: false, text: 'no connection'}); return; }
    pending.set(request, done);
    send({...values, request});
  });
}

async function order(values) {
  const reply = await ask(values);
  if (reply.text) toast(reply.text, !reply.ok);
  return reply.ok;
}

function watch(name) {
  camera = name;
  history.clear();
  names = {}; typed = {}; isNew = true;
  seen = {rejected: null, notice: null};
  const ratio = window.devicePixelRatio || 1;
  send({type: 'watch', camera: name, width: Math.round(Math.max($('stage').clientWidth, 320) * ratio)});
}

function onText(message) {
  if (message.type === 'reply') {
    const done = pending.get(message.request);
    pending.delete(message.request);
    if (done) done(message);
  } else if (message.type === 'status') {
    status = message;
    for (const row of message.objects || []) if (row.name) names[row.id] = row.name; else delete names[row.id];
    tellOutcome();
    showStatus();
    // A first stroke must not start an object anew that is followed already.
    if (isNew && status.camera === camera && status.state !== 'unknown') { isNew = false; if (!frozen) nextId(); }
  }
}

function tellOutcome() {
  const {rejected, last_rejection: why, last_notice: notice} = status;
  if (rejected === undefined) return;
  if (seen.rejected !== null && Number(rejected) > seen.rejected) toast(`refused: ${why}`, true);
  if (seen.notice !== null && notice && notice !== seen.notice) toast(notice, true);
  seen = {rejected: Number(rejected), notice: notice || ''};
}

async function onPicture(buffer) {
  const length = new DataView(buffer).getUint32(0, true);
  const head = JSON.parse(new TextDecoder().decode(new Uint8Array(buffer, 4, length)));
  const at = 4 + length;
  let image = null;
  try {
    image = await createImageBitmap(new Blob([new Uint8Array(buffer, at, head.jpeg)], {type: 'image/jpeg'}));
  } finally {
    send({type: 'ack', sequence: head.sequence});
  }
  const runs = new DataView(buffer, at + head.jpeg);
  if (picture && picture.image && picture !== frozen) picture.image.close();
  picture = {...head, image, ...(head.labelled ? drawLabels(runs, head) : {})};
  const now = performance.now();
  arrivals = [...arrivals.filter((t) => now - t < 3000), now];
  note(head);
  if (!frozen) draw();
}

function note(head) {
  if (!head.labelled) return;
  for (const [id, areas] of history) if (!head.ids.includes(id)) areas.push(0);
  head.ids.forEach((id, k) => {
    if (!history.has(id)) history.set(id, []);
    history.get(id).push(head.areas[k]);
  });
  for (const areas of history.values()) if (areas.length > HISTORY) areas.shift();
}

function drawLabels(runs, head) {
  // Only the rows that objects are in are drawn, and in them only the objects: the browser may
  // share the processor with the segmenter.
  const [width, height] = head.shown, index = new Uint8Array(width * height), parts = [];
  for (let i = 0, at = 0; i + 4 <= runs.byteLength; i += 4) {
    const run = runs.getUint32(i, true), k = run >>> 24, end = at + (run & 0xffffff);
    if (k) { index.fill(k, at, end); parts.push([k, at, end]); }
    at = end;
  }
  if (!parts.length) return {overlay: null, index};
  const top = Math.floor(parts[0][1] / width), rows = Math.floor((parts[parts.length - 1][2] - 1) / width) - top + 1;
  const made = new ImageData(width, rows), pixels = new Uint32Array(made.data.buffer), from = top * width;
  // ImageData is red, green, blue, alpha in this order; every browser there is runs on little-endian.
  const tints = head.ids.map((id) => { const [r, g, b] = colourOf(id); return (b << 16 | g << 8 | r) >>> 0; });
  for (const [k, start, end] of parts) {
    const rim = (0xff000000 | tints[k - 1]) >>> 0, inside = (105 << 24 | tints[k - 1]) >>> 0;
    for (let i = start; i < end; i++) {
      const isRim = index[i - 1] !== k || index[i + 1] !== k || index[i - width] !== k || index[i + width] !== k;
      pixels[i - from] = isRim ? rim : inside;
    }
  }
  const canvas = document.createElement('canvas');
  canvas.width = width; canvas.height = rows;
  canvas.getContext('2d').putImageData(made, 0, 0);
  return {overlay: canvas, top, index};
}

// Painting: a mask of the camera's own pixels; what is seen is what is sent

function freeze() {
  if (frozen || !picture) return Boolean(frozen);
  if (isPast()) {
    toast('the mask is for the first frame: press First frame, then paint', true);
    return false;
  }
  frozen = picture;
  mask = new Uint8Array(frozen.width * frozen.height);
  undo = []; marks = null; boxed = null;
  draft.width = frozen.width; draft.height = frozen.height;
  ask({type: 'freeze', stamp: frozen.stamp}).then((reply) => {
    if (!reply.ok) { toast(reply.text, true); live(); }
  });
  frozenAt = performance.now();
  show();
  return true;
}
let frozenAt = 0;

function live() {
  if (frozen && frozen !== picture && frozen.image) frozen.image.close();
  frozen = null; mask = null; marks = null; boxed = null; undo = []; stroke = null;
  send({type: 'live'});
  show();
}

function remember() {
  undo.push({mask: mask.slice(), marks: marks && marks.slice(), before, boxed});
  if (undo.length > UNDO) undo.shift();
}

function stamp(x, y, id, onto = mask, wide = brush()) {
  const r = wide / 2, {width, height} = frozen;
  const top = Math.max(0, Math.ceil(y - r)), bottom = Math.min(height - 1, Math.floor(y + r));
  for (let row = top; row <= bottom; row++) {
    const half = Math.sqrt(Math.max(0, r * r - (row - y) * (row - y)));
    const left = Math.max(0, Math.ceil(x - half)), right = Math.min(width - 1, Math.floor(x + half));
    if (right >= left) onto.fill(id, row * width + left, row * width + right + 1);
  }
}

function segment(a, b, id, onto = mask, wide = brush()) {
  const steps = Math.max(1, Math.ceil(Math.hypot(b.x - a.x, b.y - a.y) / Math.max(1, wide / 6)));
  for (let i = 0; i <= steps; i++) {
    stamp(a.x + (b.x - a.x) * i / steps, a.y + (b.y - a.y) * i / steps, id, onto, wide);
  }
}

// Find: strokes go to the server, the mask that they mean comes back while they are drawn

const isFound = (id) => Boolean((boxed && boxed.id === id) || (marks && owner === id && marks.includes(1)));
const isFinding = () => tool === 'find' || tool === 'not';
const pen = () => Math.max(3 * (frozen || picture).width / 640, brush() / 3);

function scribble(a, b) {
  if (!marks || owner !== chosen()) {
    if (boxed && boxed.id !== chosen()) boxed = null;
    marks = new Uint8Array(mask.length); before = boxed ? boxed.before : mask.slice(); owner = chosen();
  }
  segment(a, b, tool === 'find' ? 1 : 2, marks, pen());
  find();
}

function toRuns(values) {
  const runs = [];
  for (let i = 0, start = 0; i < values.length; i++) {
    if (i + 1 === values.length || values[i + 1] !== values[i]) {
      runs.push(values[i], i + 1 - start);
      start = i + 1;
    }
  }
  return runs;
}

async function find() {
  isStale = true;
  if (finding) return finding;
  finding = (async () => {
    while (isStale && marks && frozen) {
      isStale = false;
      const asked = marks, id = chosen();
      if (!boxed && !asked.includes(1)) break;
      const reply = await ask({type: 'find', stamp: frozen.stamp, runs: toRuns(asked), box: boxed && boxed.box});
      if (marks !== asked || !frozen) continue;
      if (!reply.ok) { if (!isStale) toast(reply.text, true); continue; }
      mask = before.slice();
      fillRuns(reply.runs, id);
      redraft(); show();
    }
    finding = null;
  })();
  return finding;
}

function fillRuns(runs, id) {
  for (let i = 0, at = 0; i < runs.length; i += 2) {
    if (runs[i]) mask.fill(id, at, at + runs[i + 1]);
    at += runs[i + 1];
  }
}

function redraft() {
  const context = draft.getContext('2d');
  const made = context.createImageData(draft.width, draft.height), pixels = made.data;
  for (let i = 0; i < mask.length; i++) {
    if (!mask[i]) continue;
    const [r, g, b] = colourOf(mask[i]);
    pixels[4 * i] = r; pixels[4 * i + 1] = g; pixels[4 * i + 2] = b; pixels[4 * i + 3] = 165;
  }
  for (let i = 0; marks && i < marks.length; i++) {
    if (!marks[i]) continue;
    pixels.fill(marks[i] === 1 ? 255 : 0, 4 * i, 4 * i + 3);
    pixels[4 * i + 3] = 255;
  }
  context.putImageData(made, 0, 0);
}

function place(event) {
  const box = view.getBoundingClientRect();
  const shown = frozen || picture;
  return {x: (event.clientX - box.left) / box.width * shown.width - 0.5,
    y: (event.clientY - box.top) / box.height * shown.height - 0.5};
}

const chosen = () => Math.min(249, Math.max(1, Number($('id').value) || 1));
const brush = () => Number($('size').value) * ((frozen || picture).width / 640);

view.addEventListener('pointerdown', (event) => {
  if (event.button > 0 || isBusy || (stroke && event.pointerId !== stroke.pointer) || !freeze()) return;
  event.preventDefault();
  view.focus();
  view.setPointerCapture(event.pointerId);
  if (tool === 'not' && !isFound(chosen())) {
    toast('Not corrects what Find or Box found: draw with one of them first, or take the eraser', true);
    return;
  }
  const at = place(event);
  remember();
  if (!isFinding()) { marks = null; boxed = null; }
  stroke = {pointer: event.pointerId, from: at, last: at};
  if (tool === 'brush' || tool === 'eraser') segment(at, at, tool === 'brush' ? chosen() : 0);
  if (isFinding()) scribble(at, at);
  redraft(); draw();
});
view.addEventListener('pointermove', (event) => {
  if (!picture) return;
  cursor = place(event);
  if (stroke && stroke.pointer === event.pointerId) {
    const events = event.getCoalescedEvents ? event.getCoalescedEvents() : [];
    for (const one of events.length ? events : [event]) {
      const at = place(one);
      if (tool === 'brush' || tool === 'eraser') segment(stroke.last, at, tool === 'brush' ? chosen() : 0);
      if (isFinding()) scribble(stroke.last, at);
      stroke.last = at;
    }
    if (tool === 'brush' || tool === 'eraser' || isFinding()) redraft();
  }
  draw();
});
view.addEventListener('pointerup', (event) => {
  if (!stroke || stroke.pointer !== event.pointerId) return;
  const {from, last} = stroke;
  stroke = null;
  if (tool === 'line') segment(from, last, chosen());
  if (tool === 'box') {
    if (Math.max(Math.abs(last.x - from.x), Math.abs(last.y - from.y)) < LEAST_BOX) {
      toast('drag from one corner of the box to the other', true);
      undoOnce();
    } else findInBox(from, last);
  }
  redraft(); show();
});
view.addEventListener('pointercancel', () => { if (stroke) { stroke = null; undoOnce(); } });
view.addEventListener('pointerleave', () => { cursor = null; draw(); });
view.addEventListener('wheel', (event) => {
  event.preventDefault();
  resize(event.deltaY < 0 ? 1.15 : 1 / 1.15);
}, {passive: false});

async function findInBox(a, b) {
  const box = [Math.min(a.x, b.x), Math.min(a.y, b.y), Math.abs(a.x - b.x) + 1, Math.abs(a.y - b.y) + 1].map(Math.round);
  const without = mask.slice();
  isBusy = true;
  const reply = await ask({type: 'box', stamp: frozen.stamp, box});
  isBusy = false;
  if (!frozen) return;
  if (!reply.ok) { toast(reply.text, true); undoOnce(); return; }
  const id = chosen();
  boxed = {box, id, before: without};
  fillRuns(reply.runs, id);
  redraft(); show();
}

function undoOnce() {
  if (!frozen || !undo.length) return;
  ({mask, marks, before, boxed} = undo.pop());
  redraft(); show();
}

async function track() {
  if (!frozen || isBusy) return;
  if (finding) await finding;
  if (!frozen || isBusy || !mask.some((id) => id)) return;
  const runs = toRuns(mask);
  const named = {}, used = new Set(mask);
  for (const [id, name] of Object.entries(typed)) if (name.trim() && used.has(Number(id))) named[id] = name.trim();
  isBusy = true;
  show();
  const ok = await order({type: 'prompt', stamp: frozen.stamp, runs, names: named});
  isBusy = false;
  view.focus();   // keys are for the tools again, not for the name
  if (ok) { Object.assign(names, named); typed = {}; live(); nextId(used); } else show();
  return ok;
}

// Start from what is followed now: for the eraser, the brush, or Find
function correct(id) {
  choose(id);
  if (!freeze()) return;
  const row = (frozen.ids || []).indexOf(id) + 1;
  if (!row || !frozen.index) return;
  remember();
  marks = null; boxed = null;
  const {width, height, shown: [wide, high], index} = frozen;
  for (let y = 0; y < height; y++) {
    const from = Math.floor(y * high / height) * wide;
    for (let x = 0; x < width; x++) {
      if (index[from + Math.floor(x * wide / width)] === row) mask[y * width + x] = id;
    }
  }
  redraft(); show();
}

function nextId(used = new Set()) {
  const taken = new Set([...(status.objects || []).map((row) => row.id), ...history.keys(), ...used]);
  let id = 1;
  while (taken.has(id)) id++;
  choose(id);
}

function choose(id) {
  $('id').value = id;
  $('name').value = typed[id] ?? names[id] ?? '';
  show();
}

function resize(factor) {
  const size = $('size'), before = Number(size.value);
  size.value = factor > 1 ? Math.max(before + 1, before * factor) : Math.min(before - 1, before * factor);
  show();
}

// Showing

function draw() {
  const shown = frozen || picture;
  $('empty').hidden = Boolean(shown);
  view.hidden = !shown;
  if (!shown) return;
  const stage = $('stage'), ratio = window.devicePixelRatio || 1;
  const scale = Math.min(stage.clientWidth / shown.width, stage.clientHeight / shown.height);
  const width = Math.round(shown.width * scale), height = Math.round(shown.height * scale);
  // Lines are drawn in the pixels of the screen; a picture alone is scaled once, by the browser.
  const fine = frozen || cursor || stroke ? [width * ratio, height * ratio].map(Math.round) : [shown.image.width, shown.image.height];
  if (view.style.width !== `${width}px` || view.style.height !== `${height}px` || view.width !== fine[0] || view.height !== fine[1]) {
    [view.width, view.height] = fine;
    view.style.width = `${width}px`; view.style.height = `${height}px`;
  }
  ink.setTransform(1, 0, 0, 1, 0, 0);
  ink.imageSmoothingEnabled = true;
  ink.drawImage(shown.image, 0, 0, view.width, view.height);
  if (shown.overlay) {
    ink.globalAlpha = frozen ? 0.45 : 1;
    const y = view.height / shown.shown[1];
    ink.drawImage(shown.overlay, 0, shown.top * y, view.width, shown.overlay.height * y);
    ink.globalAlpha = 1;
  }
  if (frozen) {
    ink.imageSmoothingEnabled = false;
    ink.drawImage(draft, 0, 0, view.width, view.height);
  }
  const k = view.width / shown.width;
  ink.lineWidth = 2;
  ink.strokeStyle = css(chosen());
  if (stroke && tool === 'box') {
    ink.strokeRect((stroke.from.x + .5) * k, (stroke.from.y + .5) * k,
      (stroke.last.x - stroke.from.x) * k, (stroke.last.y - stroke.from.y) * k);
  } else if (stroke && tool === 'line') {
    ink.lineWidth = brush() * k; ink.lineCap = 'round'; ink.globalAlpha = .65;
    ink.beginPath(); ink.moveTo((stroke.from.x + .5) * k, (stroke.from.y + .5) * k);
    ink.lineTo((stroke.last.x + .5) * k, (stroke.last.y + .5) * k); ink.stroke(); ink.globalAlpha = 1;
  } else if (cursor && tool !== 'box') {
    for (const [colour, wide] of [['#000', 3], [tool === 'eraser' ? '#fff' : css(chosen()), 1.5]]) {
      ink.strokeStyle = colour; ink.lineWidth = wide;
      ink.beginPath(); ink.arc((cursor.x + .5) * k, (cursor.y + .5) * k, Math.max(1, (isFinding() ? pen() : brush()) / 2 * k), 0, 7); ink.stroke();
    }
  }
}

function show() {
  const painted = Boolean(mask && mask.some((id) => id));
  for (const button of document.querySelectorAll('[data-tool]')) {
    button.setAttribute('aria-pressed', String(button.dataset.tool === tool));
  }
  for (const name of ['find', 'not']) {
    document.querySelector(`[data-tool=${name}]`).hidden = status.finds === false;
  }
  $('size_text').value = `${$('size').value} px`;
  $('swatch').style.background = css(chosen());
  const known = (status.objects || []).some((row) => row.id === chosen());
  $('track').textContent = isBusy ? 'Working' : status.mode === 'clip' ? 'Keep' : known ? 'Track anew' : 'Track';
  $('track').disabled = !painted || isBusy;
  $('undo').disabled = !undo.length;
  $('discard').disabled = !frozen;
  const isSilent = (status.notices || []).some((notice) => notice.level === 'error');
  $('mode').textContent = frozen ? `FROZEN ${((performance.now() - frozenAt) / 1000).toFixed(0)} s` :
    isSilent ? 'CHECK' : status.mode === 'clip' ? (status.state || 'CLIP').toUpperCase() : 'LIVE';
  $('mode').className = `badge ${frozen ? 'frozen' : isSilent ? 'silent' : ''}`;
  $('hint').textContent = painted ? hintToSend() : hintFor(known);
  draw();
}

// Whether a clip shows something else than the frame that can be painted on
function isPast() { return status.mode === 'clip' && Boolean(status.state) && status.state !== FIRST; }

function hintToSend() {
  const word = $('track').textContent;
  return matchMedia('(pointer: coarse)').matches ? `${word}, or Cancel` : `${word} (Enter), or Cancel (Esc)`;
}

function hintFor(known) {
  if (isPast() && !frozen) return 'To paint: First frame';
  if (tool === 'box') return 'Draw a box around the object';
  if (tool === 'not') return 'Draw on what is not the object';
  const what = known ? `object ${chosen()} anew` : 'an object';
  return tool === 'find' ? `Draw a line on ${what}` : `Paint over ${what}`;
}

function showStatus() {
  document.body.className = status.mode || 'live';
  const select = $('camera'), cameras = status.cameras || [];
  if (cameras.join() !== select.dataset.known) {
    select.dataset.known = cameras.join();
    select.replaceChildren(...cameras.map((name) => new Option(name, name, false, name === camera)));
  }
  if (!cameras.includes(camera) && cameras.length) { if (frozen) live(); picture = null; watch(cameras[0]); select.value = camera; }
  const notices = [...(status.notices || [])];
  if (status.cameras && !cameras.length) {
    notices.unshift({level: 'error', text: 'no segmenter is found: start one (ros2 launch vos_ros segment.launch.py), with the same ROS_DOMAIN_ID as this page'});
  }
  const text = JSON.stringify(notices);
  if ($('notices').dataset.shown !== text) {
    $('notices').dataset.shown = text;
    $('notices').replaceChildren(...notices.map(({level, text: line}) => {
      const made = document.createElement('div');
      made.className = level; made.textContent = line;
      return made;
    }));
  }
  const worst = notices.some((n) => n.level === 'error') ? 'error' : notices.length ? 'warn' : 'ok';
  $('state').textContent = status.state || 'waiting';
  $('state').className = `pill ${worst}`;
  const [p50, p99] = status.latency_ms || [];
  arrivals = arrivals.filter((t) => performance.now() - t < 3000);
  const pages = arrivals.length > 1 ? (arrivals.length - 1) * 1000 / (arrivals.at(-1) - arrivals[0]) : 0;
  const figures = status.mode === 'clip' && !pages ? [] : [['page', `${pages.toFixed(0)} Hz`]];
  if (status.rate_hz) figures.push(['camera', `${Number(status.rate_hz).toFixed(0)} Hz`]);
  if (p50) figures.push(['p50', `${Number(p50).toFixed(0)} ms`], ['p99', `${Number(p99).toFixed(0)} ms`]);
  if (status.dropped) figures.push(['dropped', status.dropped]);
  $('figures').replaceChildren(...figures.flatMap(([name, value], k) => {
    const bold = document.createElement('b');
    bold.textContent = value;
    return [`${k ? '  ·  ' : ''}${name} `, bold];
  }));
  $('pause').textContent = status.state === 'paused' ? 'Go on' : 'Pause';
  showObjects();
  show();
}

function showObjects() {
  const rows = status.objects || [];
  $('no_objects').hidden = rows.length > 0;
  $('objects').replaceChildren(...rows.map((row) => {
    const line = document.createElement('tr');
    const areas = history.get(row.id) || [];
    const cell = (child, kind = '') => {
      const made = document.createElement('td');
      made.className = kind; made.append(child); line.append(made);
    };
    const swatch = document.createElement('span');
    swatch.className = 'swatch'; swatch.style.background = css(row.id);
    cell(swatch);
    const words = document.createElement('div'), small = document.createElement('small');
    const state = document.createElement('span');
    state.className = row.state; state.textContent = row.state;
    const area = areas.at(-1) || 0;
    words.append(`${row.id} ${names[row.id] || ''}`);
    small.title = `state, score, ${area} pixels`;
    small.append(state, ` ${Number.isFinite(row.score) ? row.score.toFixed(2) : ''} ${area < 10000 ? area : `${(area / 1000).toFixed(1)}k`} px`);
    words.append(small);
    cell(words, 'text');
    cell(sparkline(areas, row.id));
    const again = document.createElement('button'), gone = document.createElement('button');
    again.textContent = '✎'; again.title = `Correct object ${row.id}`; again.onclick = () => correct(row.id);
    gone.textContent = '✕'; gone.title = `Remove object ${row.id}`; gone.onclick = () => remove(row.id);
    for (const button of [again, gone]) button.setAttribute('aria-label', button.title);
    const both = document.createElement('div');
    both.style.display = 'flex'; both.style.gap = '.2rem'; both.append(again, gone);
    cell(both);
    return line;
  }));
}

function sparkline(values, id) {
  const canvas = document.createElement('canvas');
  canvas.width = 48; canvas.height = 22; canvas.className = 'spark';
  const pen = canvas.getContext('2d'), most = Math.max(1, ...values);
  pen.strokeStyle = css(id); pen.lineWidth = 1.5; pen.beginPath();
  values.forEach((value, k) => pen.lineTo(48 * (HISTORY - values.length + k) / (HISTORY - 1), 20 - 18 * value / most));
  pen.stroke();
  return canvas;
}

function remove(id) {
  if (!(status.objects || []).some((row) => row.id === id)) { toast(`there is no object ${id}`, true); return; }
  history.delete(id); delete names[id];
  order({type: 'remove', ids: [id]});
}

function toast(text, isError) {
  const made = document.createElement('div');
  made.textContent = text; made.className = isError ? 'error' : '';
  $('toasts').append(made);
  setTimeout(() => made.remove(), isError ? 8000 : 3000);
}

// Buttons and keys

for (const button of document.querySelectorAll('[data-tool]')) {
  button.onclick = () => { tool = button.dataset.tool; show(); };
}
$('camera').onchange = () => { if (frozen) live(); picture = null; watch($('camera').value); };
$('size').oninput = show;
$('id').oninput = () => choose(chosen());
$('name').oninput = () => { typed[chosen()] = $('name').value; };
$('track').onclick = track;
$('undo').onclick = undoOnce;
$('discard').onclick = live;
$('reset').onclick = () => {
  // Nothing brings them back, and a finger is soon beside Pause.
  if ($('reset').dataset.asked) { unask(); history.clear(); names = {}; order({type: 'reset'}).then(() => nextId()); return; }
  $('reset').dataset.asked = 'yes'; $('reset').textContent = 'Forget all: sure?';
  setTimeout(unask, 4000);
};
function unask() { delete $('reset').dataset.asked; $('reset').textContent = 'Forget all'; }
$('pause').onclick = () => order({type: 'enable', on: status.state === 'paused'});
$('run').onclick = async () => {
  if (mask && mask.some((id) => id)) { if (!await track()) return; } else if (frozen) live();
  order({type: 'run'});
};
$('first').onclick = async () => { if (await order({type: 'first'})) { status.state = FIRST; showStatus(); } };
window.addEventListener('resize', draw);
window.addEventListener('keydown', (event) => {
  if (event.target.id === 'name' && event.key !== 'Enter' && event.key !== 'Escape') return;
  if (event.target.tagName === 'SELECT') return;
  const key = event.key.toLowerCase();
  const tools = {b: 'brush', e: 'eraser', l: 'line', x: 'box',
    ...(status.finds === false ? {} : {f: 'find', g: 'not'})};
  if ((event.ctrlKey || event.metaKey) && key === 'z') undoOnce();
  else if (event.ctrlKey || event.metaKey || event.altKey) return;
  else if (tools[key]) { tool = tools[key]; show(); }
  else if (key === '[') resize(1 / 1.15);
  else if (key === ']') resize(1.15);
  else if (key === 'enter' && event.target.tagName !== 'BUTTON') track();
  else if (key === 'escape') { view.focus(); live(); }
  else if (key === ' ' && event.target.tagName !== 'BUTTON') { if (frozen) live(); else freeze(); }
  else if (key === 'n') nextId();
  else if (key === 'delete' && event.target.tagName !== 'INPUT') remove(chosen());
  else if (/^[1-9]$/.test(key) && event.target.id !== 'id') choose(Number(key));
  else return;
  event.preventDefault();
});
setInterval(() => { if (frozen) show(); }, 1000);
connect();
show();
