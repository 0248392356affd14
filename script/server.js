/*
 * CouchDB's query server protocol: what qosid-script answers to each request.
 *
 * Evaluates to a function from a line to lines of answer, of which the last is the answer and those before are logs. It
 * runs once in every realm, so that what a design document does to its globals stays with it. undefined: out of memory.
 */
(function (global) {
	"use strict";
	const LOG_MAX = 100, LOG_LENGTH = 4096; // of one request: lines, and characters of a line
	const REDUCE_FREE = 4906; // a reduction up to this length may be as long as it likes
	const evaluate = global.eval; // not by its name: code runs with the globals only
	const { stringify, parse } = JSON;
	let logs, emitted, functions = [], library = null, design = null;

	const isMemory = (error) => error instanceof InternalError && /out of memory/.test(error.message);
	const text = (value) => {
		try {
			return String(value);
		} catch {
			return "an error without a text";
		}
	};

	/* ---- what functions see ---- */

	const define = (name, value) =>
		Object.defineProperty(global, name, { value, writable: true, configurable: true, enumerable: false });
	const log = (message) => {
		if (logs.length < LOG_MAX)
			logs.push(stringify(["log", (typeof message === "string" ? message : toJSON(message) ?? "undefined").slice(0, LOG_LENGTH)]));
	};
	const toJSON = (value) => stringify(value);
	define("log", log);
	define("toJSON", toJSON);
	define("emit", (key, value) => void emitted.push([key, value]));
	define("sum", (values) => {
		let total = 0;
		for (const value of values)
			total += value;
		return total;
	});
	define("isArray", Array.isArray);

	/* ---- compiling ---- */

	// CouchDB takes a function expression; a semicolon or a comment after it, and a named function, occur.
	const compile = (source, name) => {
		let value;

		if (typeof source !== "string")
			throw ["error", "compilation_error", name + " is not a function's source"];
		try {
			try {
				value = evaluate("(" + source.replace(/[;\s]+$/, "") + "\n)");
			} catch (error) {
				if (!(error instanceof SyntaxError))
					throw error;
				value = evaluate(source);
			}
		} catch (error) {
			if (isMemory(error))
				throw error;
			throw ["error", "compilation_error", text(error) + " (" + source + ")"];
		}
		if (typeof value !== "function")
			throw ["error", "compilation_error", "Expression does not eval to a function. (" + source + ")"];
		return value;
	};

	// CommonJS: a path is relative to the module that asks, or begins at the top of the design document.
	const resolve = (root, path, from) => {
		const parts = path.split("/");
		let at = path[0] === "." ? from.slice(0, -1) : [];

		for (const part of parts) {
			if (part === "..")
				at.pop();
			else if (part !== "." && part !== "")
				at.push(part);
		}
		let value = root;
		for (const part of at) {
			if (value === null || typeof value !== "object" || !Object.hasOwn(value, part))
				throw ["error", "invalid_require_path", "Object has no property " + stringify(part) + ". " + path];
			value = value[part];
		}
		if (value !== null && typeof value === "object" && typeof value.index === "string") {
			at.push("index");
			value = value.index;
		}
		if (typeof value !== "string")
			throw ["error", "invalid_require_path", "Must require Javascript string, not: " + typeof value];
		return { at, value };
	};
	const requireFrom = (root, from, cache) => (path) => {
		const { at, value } = resolve(root, String(path), from), key = at.join("/");
		const known = cache.get(key);

		if (known)
			return known.exports;
		const module = { id: key, exports: {} };
		cache.set(key, module); // before it runs, as modules may require each other
		try {
			const body = evaluate("(function (module, exports, require) {" + value + "\n})");
			body.call(global, module, module.exports, requireFrom(root, at, cache));
		} catch (error) {
			cache.delete(key);
			if (Array.isArray(error) || isMemory(error))
				throw error;
			throw ["error", "compilation_error", "Module require('" + path + "') raised error " + text(error)];
		}
		return module.exports;
	};

	/* ---- views ---- */

	// A function that throws has emitted nothing for this document, unless it says that it is fatal.
	const tolerate = (error, doc) => {
		if (isMemory(error))
			throw error;
		if (error === "fatal_error")
			throw ["error", "map_runtime_error", "function raised 'fatal_error'"];
		if (Array.isArray(error) && error[0] === "fatal")
			throw error;
		log("function raised exception " + text(error) + (doc ? " with doc._id " + doc._id : ""));
	};
	const mapOne = (run, doc) => {
		emitted = [];
		try {
			run(doc);
		} catch (error) {
			tolerate(error, doc);
			emitted = [];
		}
		return emitted;
	};
	const reduce = (sources, keys, values, rereduce, length) => {
		const runs = sources.map((source) => compile(source, "reduce"));
		const results = runs.map((run) => {
			try {
				return run(keys, values, rereduce);
			} catch (error) {
				tolerate(error, null);
				return null;
			}
		});
		const line = stringify(results);
		const input = length - sources.reduce((total, source) => total + source.length, 0);

		if (line.length > REDUCE_FREE && line.length * 2 > input)
			throw ["error", "reduce_overflow_error",
				"Reduce output must shrink more rapidly: Current output: '" + line.slice(0, 100) + "'... (first 100 of " +
				line.length + " bytes)"];
		return "[true," + line + "]";
	};

	/* ---- functions of a design document ---- */

	const compiled = new Map();
	const find = (path) => {
		const key = stringify(path), known = compiled.get(key);
		let value = design;

		if (known)
			return known;
		for (const part of path) {
			if (value === null || typeof value !== "object" || !Object.hasOwn(value, part))
				throw ["error", "not_found", "missing " + path[0] + " function " + path.slice(1).join("/") + " on design doc " + design._id];
			value = value[part];
		}
		const made = compile(value, path.join("/"));
		compiled.set(key, made);
		return made;
	};
	const validate = (run, args) => {
		try {
			run.apply(design, args);
		} catch (error) {
			if (error instanceof Error || isMemory(error))
				throw error;
			return stringify(error) ?? "null";
		}
		return "1";
	};
	const filter = (run, [docs, req]) =>
		stringify([true, docs.map((doc) => Boolean(run.call(design, doc, req)))]);
	const filterByView = (run, [docs]) =>
		stringify([true, docs.map((doc) => mapOne(run, doc).length > 0)]);
	const update = (run, [doc, req]) => {
		const result = run.call(design, doc, req);

		if (req.method === "GET")
			throw ["error", "method_not_allowed", "Update functions do not allow GET"];
		if (!Array.isArray(result))
			throw ["error", "invalid_update_response", "Update functions return [doc, response]"];
		const [changed, answer] = result;
		return stringify(["up", changed ?? null, typeof answer === "string" ? { body: answer } : answer ?? {}]);
	};
	const callDesign = (path, args) => {
		const run = find(path);

		switch (path[0]) {
		case "validate_doc_update":
			return validate(run, args);
		case "filters":
			return filter(run, args);
		case "views":
			return filterByView(run, args);
		case "updates":
			return update(run, args);
		default:
			throw ["error", "unknown_command", "unknown ddoc command '" + path[0] + "'"];
		}
	};
	const setDesign = (value) => {
		design = value;
		compiled.clear();
		define("require", requireFrom(design, [], new Map()));
		return "true";
	};

	/* ---- requests ---- */

	const answer = (request, length) => {
		switch (request[0]) {
		case "reset":
			define("require", () => {
				throw ["error", "invalid_require_path", "there is no library"];
			});
			return "true"; // the realm is a new one
		case "add_lib":
			library = { views: { lib: request[1] } };
			define("require", requireFrom(library, [], new Map()));
			return "true";
		case "add_fun":
			functions.push(compile(request[1], "map"));
			return "true";
		case "map_doc": {
			const doc = request[1];
			return stringify(functions.map((run) => mapOne(run, doc)));
		}
		case "reduce": {
			const keys = [], values = [];
			for (const [key, value] of request[2]) {
				keys.push(key);
				values.push(value);
			}
			return reduce(request[1], keys, values, false, length);
		}
		case "rereduce":
			return reduce(request[1], null, request[2], true, length);
		case "ddoc":
			return request[1] === "new" ? setDesign(request[3]) : callDesign(request[2], request[3]);
		default:
			throw ["error", "unknown_command", "unknown command '" + request[0] + "'"];
		}
	};
	const failure = (error) => {
		if (Array.isArray(error) && (error[0] === "error" || error[0] === "fatal"))
			return stringify(["error", text(error[1]), text(error[2])]);
		if (error !== null && typeof error === "object") {
			if (error.forbidden !== undefined)
				return stringify({ forbidden: text(error.forbidden) });
			if (error.unauthorized !== undefined)
				return stringify({ unauthorized: text(error.unauthorized) });
			if (error.error !== undefined && error.reason !== undefined)
				return stringify(["error", text(error.error), text(error.reason)]);
			if (error.name !== undefined)
				return stringify(["error", text(error.name), text(error.message)]);
		}
		return stringify(["error", "unnamed_error", stringify(error) ?? text(error)]);
	};
	const run = (line) => {
		try {
			return answer(parse(line), line.length);
		} catch (error) {
			if (isMemory(error))
				return undefined;
			return failure(error);
		}
	};
	return (line) => {
		logs = [];
		const result = run(line);
		return result === undefined || logs.length === 0 ? result : logs.join("\n") + "\n" + result;
	};
})(globalThis);
