"""Files of any kind and encoding -> raw rows, each with the place it stands at."""
