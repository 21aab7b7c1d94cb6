'use strict';
// The bridge process: hosts all battles of one simulator server and speaks binary frames on the descriptor that its
// command line names.
//
// Little-endian. Every frame begins with its length (u32, without these four bytes) and its kind (u8).
//   to the bridge    H  JSON settings                                    once
//                    R  count:u32 { arena:u32 seed:u64 } * count         begin battles
//                    S  count:u32 { arena:u32 action:i32 * seats } * count
//                    P  count:u32 { arena:u32 seed:u64 } * count         the seeds of the battles that follow; no answer
//                    T  nothing                                          what the parts have cost
//                    L  arena:u32                                        a battle's log so far
//   from the bridge  rows (answer to R and S), JSON (H, T, L) or E (an error: its text)
// Rows, in the order of the request, for n = count × seats: observation f32 × size × n, mask u8 × 2,025 × n, reward
// f32 × n, metrics f32 × metrics × n, terminated u8 × n, truncated u8 × n, status u8 × n.

const fs = require('fs');
const net = require('net');
const { loadEngine } = require('./engine');
const { Arena, METRICS } = require('./arena');
const { createOpponent } = require('./choices/opponents');
const observe = require('./view/observe');
const { MASK_BYTES, JOINT_ACTIONS, expand } = require('./choices/space');

const FD = Number(process.argv[2]);

class Bridge {
  constructor() {
    this.arenas = [];
    this.clock = { engine: 0, encode: 0, mask: 0, ahead: 0, total: 0 };
    this.plans = new Map(); // arena → seed of the battle to make when there is time
  }

  start(settings) {
    this.engine = loadEngine(settings.folder, settings.tables);
    const { sim } = this.engine;
    const format = sim.Dex.formats.get(settings.format);
    if (!format.exists) throw new Error(`UnknownFormat ${JSON.stringify(sim.Dex.formats.all().map((f) => f.id))}`);
    if (format.gameType !== 'doubles' || !format.team) {
      throw new Error(`UnservedFormat ${JSON.stringify(format.id)} ${JSON.stringify(format.gameType)}`);
    }
    this.seats = settings.opponent === 'self' ? 2 : 1;
    for (let i = 0; i < settings.arenas; i++) {
      const opponent = this.seats === 2 ? null : createOpponent(settings.opponent, sim, 0);
      this.arenas.push(new Arena(this.engine, settings, opponent, this.clock));
    }
    return {
      features: observe.FEATURES, size: observe.SIZE, metrics: METRICS, actions: JOINT_ACTIONS,
      version: this.engine.version, tables: this.engine.tables,
    };
  }

  reset(body) {
    const numbers = this.each(body, 12, (at) => {
      const arena = body.readUInt32LE(at);
      this.plans.delete(arena); // it came too late, or is for an episode that will not be
      this.arenas[arena].reset(body.readBigUInt64LE(at + 4));
      return arena;
    });
    return this.rows(numbers);
  }

  step(body) {
    const actions = new Int32Array(2);
    const numbers = this.each(body, 4 + 4 * this.seats, (at) => {
      const arena = body.readUInt32LE(at);
      for (let seat = 0; seat < this.seats; seat++) actions[seat] = body.readInt32LE(at + 4 + 4 * seat);
      this.arenas[arena].step(actions);
      return arena;
    });
    return this.rows(numbers);
  }

  plan(body) {
    this.each(body, 12, (at) => this.plans.set(body.readUInt32LE(at), body.readBigUInt64LE(at + 4)));
  }

  /** Makes one planned battle; returns whether more are planned. */
  workAhead() {
    const began = performance.now();
    for (const [arena, seed] of this.plans) {
      this.plans.delete(arena);
      this.arenas[arena].prepare(seed);
      break;
    }
    this.clock.ahead += performance.now() - began;
    return this.plans.size > 0;
  }

  each(body, size, handle) {
    const count = body.readUInt32LE(0);
    if (body.length !== 4 + count * size) {
      throw new Error(`a frame was cut short: ${body.length} bytes for ${count} entries of ${size}`);
    }
    return Array.from({ length: count }, (_, i) => handle(4 + i * size));
  }

  rows(numbers) {
    const began = performance.now();
    const n = numbers.length * this.seats;
    const { SIZE } = observe;
    const floats = SIZE * 4 * n;
    const frame = Buffer.allocUnsafeSlow(8 + floats + n * (JOINT_ACTIONS + 4 + 4 * METRICS.length + 3));
    frame.writeUInt32LE(frame.length - 4, 0);
    frame.write('A', 4, 'latin1');
    const observation = new Float32Array(frame.buffer, 8, SIZE * n);
    let at = 8 + floats;
    const masks = frame.subarray(at, at += JOINT_ACTIONS * n);
    // What follows the masks need not be aligned, so it is gathered first and copied.
    const reward = new Float32Array(n);
    const metrics = new Float32Array(n * METRICS.length);
    const flags = at + 4 * n * (1 + METRICS.length);
    numbers.forEach((number, i) => {
      const arena = this.arenas[number];
      for (let seat = 0; seat < this.seats; seat++) {
        const row = i * this.seats + seat;
        observe.write(observation, row * SIZE, arena.public, arena.battle.sides[seat].activeRequest, seat);
        reward[row] = arena.reward[seat];
        arena.metrics(seat, metrics, row * METRICS.length);
        frame[flags + row] = arena.terminated ? 1 : 0;
        frame[flags + n + row] = arena.truncated ? 1 : 0;
        frame[flags + 2 * n + row] = arena.status[seat];
      }
    });
    Buffer.from(reward.buffer).copy(frame, at);
    Buffer.from(metrics.buffer).copy(frame, at + 4 * n);
    const then = performance.now();
    this.clock.encode += then - began;
    masks.fill(0);
    numbers.forEach((number, i) => {
      for (let seat = 0; seat < this.seats; seat++) {
        expand(this.arenas[number].masks, seat * MASK_BYTES, masks, (i * this.seats + seat) * JOINT_ACTIONS);
      }
    });
    this.clock.mask += performance.now() - then;
    return frame;
  }

  cost() {
    return Object.fromEntries(Object.entries(this.clock).map(([part, time]) => [part, time * 1e-3]));
  }

  /** Returns the answer to one frame, or null if it wants none. */
  answer(kind, body) {
    const began = performance.now();
    try {
      switch (kind) {
        case 'H': return jsonFrame(this.start(JSON.parse(body.toString('utf8'))));
        case 'R': return this.reset(body);
        case 'S': return this.step(body);
        case 'P': this.plan(body); return null;
        case 'T': return jsonFrame(this.cost());
        case 'L': return jsonFrame(this.arenas[body.readUInt32LE(0)].battle.log);
        default: throw new Error(`a frame of unknown kind ${JSON.stringify(kind)}`);
      }
    } finally {
      this.clock.total += performance.now() - began;
    }
  }
}

function frameOf(kind, body) {
  const frame = Buffer.alloc(5 + body.length);
  frame.writeUInt32LE(frame.length - 4, 0);
  frame.write(kind, 4, 'latin1');
  body.copy(frame, 5);
  return frame;
}

const jsonFrame = (value) => frameOf('J', Buffer.from(JSON.stringify(value), 'utf8'));

function main() {
  const bridge = new Bridge();
  const socket = new net.Socket({ fd: FD, readable: true, writable: true });
  let pending = Buffer.alloc(0);
  let idle = null;
  const workWhenIdle = () => {
    idle = null;
    if (bridge.workAhead()) idle = setImmediate(workWhenIdle);
  };
  socket.on('data', (data) => {
    pending = pending.length ? Buffer.concat([pending, data]) : data;
    while (pending.length >= 5) {
      const length = pending.readUInt32LE(0);
      if (pending.length < 4 + length) break;
      const kind = String.fromCharCode(pending[4]);
      const body = pending.subarray(5, 4 + length);
      pending = pending.subarray(4 + length);
      let reply;
      try {
        reply = bridge.answer(kind, body);
      } catch (error) {
        reply = frameOf('E', Buffer.from(error.stack, 'utf8'));
      }
      if (reply) socket.write(reply);
    }
    if (bridge.plans.size && !idle) idle = setImmediate(workWhenIdle);
  });
  socket.on('end', () => process.exit(0));
  socket.on('error', (error) => {
    fs.writeSync(2, `the bridge lost its connection: ${error.message}\n`);
    process.exit(1);
  });
}

main();
